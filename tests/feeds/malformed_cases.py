"""The malformed messages of docs' fault list, one row each: name, bytes, reason, the place that shows it."""

from __future__ import annotations

from typing import NamedTuple

from tests.feeds.wire import body_of, book, edited, expected, framed, heartbeat, message, trailed

# The bad messages are of another market than their neighbours, so that no neighbour waits for their sequence.
BOOK = book(5, market="DVX", isin="VN41I1F60005")
EXPECTED = expected(5, market="DVX", isin="VN41I1F60005")
BODY = body_of(EXPECTED)
AT_LENGTH, AT_BODY = 12, 16
AT_TRAILER = len(EXPECTED) - 7


class Case(NamedTuple):
    """`at` is the offset, or the bytes whose first place in `data` it is."""

    name: str
    data: bytes
    reason: str
    at: int | bytes


def with_length(text: bytes) -> bytes:
    return trailed(b"8=FIX.4.4\x019=" + text + b"\x01" + BODY)


def put(after: bytes, field: bytes) -> bytes:
    """EXPECTED with `field` behind the field `after`."""
    return edited(EXPECTED, after + b"\x01", after + b"\x01" + field + b"\x01")


NUMBERS = {
    "exponent": b"1e9",
    "NaN": b"NaN",
    "hexadecimal": b"0x1",
    "comma": b"1,0",
    "400 digits": b"9" * 400,
    "two points": b"1.0.0",
    "sign alone": b"-",
    "point alone": b".",
    "space": b" 1",
    "Arabic digits": "٣".encode(),
    "infinity": b"inf",
    "underscore": b"1_000",
}

FRAMING = [
    Case("length short", with_length(b"%d" % (len(BODY) - 3)), "BODY_LENGTH", AT_LENGTH),
    Case("length long, swallows the next", with_length(b"%d" % (len(BODY) + 180)), "BODY_LENGTH", AT_LENGTH),
    Case("length empty", with_length(b""), "BODY_LENGTH", AT_LENGTH),
    Case("length negative", with_length(b"-5"), "BODY_LENGTH", AT_LENGTH),
    Case("length of 60 digits", with_length(b"9" * 60), "BODY_LENGTH", AT_LENGTH),
    Case("length not a number", with_length(b"abc"), "BODY_LENGTH", AT_LENGTH),
    Case("length with a leading zero", with_length(b"0%d" % len(BODY)), "BODY_LENGTH", AT_LENGTH),
    Case("35 before 9", trailed(b"8=FIX.4.4\x0135=ME\x019=%d\x01" % len(BODY) + BODY[6:]), "BEGIN_STRING", 0),
    Case("9 before 8", trailed(b"9=%d\x018=FIX.4.4\x01" % len(BODY) + BODY), "BEGIN_STRING", 0),
    Case(
        "49 before 35", framed(b"49=VNMGW\x0135=ME\x01" + BODY[len(b"35=ME\x0149=VNMGW\x01") :]), "FIELD_ORDER", AT_BODY
    ),
    Case("FIX 4.2", EXPECTED.replace(b"FIX.4.4", b"FIX.4.2"), "BEGIN_STRING", 0),
    Case("checksum wrong", EXPECTED[:-2] + b"%d\x01" % ((EXPECTED[-2] - 47) % 10), "CHECKSUM", AT_TRAILER),
    Case("checksum 256", EXPECTED[:-4] + b"256\x01", "CHECKSUM", AT_TRAILER),
    Case("checksum of two digits", EXPECTED[:-4] + b"12\x01", "TRAILER", AT_TRAILER),
    Case("checksum missing", EXPECTED[:-7], "BODY_LENGTH", AT_LENGTH),
    Case("checksum inside the body", framed(BODY + b"10=000\x01")[:-7], "BODY_LENGTH", AT_LENGTH),
    Case("no final SOH", EXPECTED[:-1], "TRAILER", AT_TRAILER),
    Case("only SOH", b"\x01", "BEGIN_STRING", 0),
    Case("many SOH", b"\x01" * 50, "BEGIN_STRING", 0),
    Case("XML", b'<?xml version="1.0"?><quote s="FPT"/>', "BEGIN_STRING", 0),
    Case("zeroes", b"\x00" * 64, "BEGIN_STRING", 0),
    Case("a begin and no more", b"8=FIX.4.4\x019=", "BODY_LENGTH", AT_LENGTH),
    Case("binary", bytes(range(256)), "BEGIN_STRING", 0),
]

TAGS = [
    Case(f"tag {name}", put(b"20004=G1", tag + b"=x"), "BAD_TAG", tag + b"=x")
    for name, tag in {
        "0": b"0",
        "-1": b"-1",
        "empty": b"",
        "of 11 digits": b"12345678901",
        "garbled": b"2x4",
        "+5": b"+5",
        "leading zero": b"058",
        "Arabic": "٣٤".encode(),
    }.items()
] + [
    Case("field without =", put(b"20004=G1", b"noequals"), "BAD_FIELD", b"noequals"),
    Case("two SOH in the body", put(b"20004=G1", b""), "BAD_FIELD", b"\x0155="),
    Case("missing 55", edited(EXPECTED, b"55=VN41I1F60005\x01", b""), "MISSING_TAG", b"10="),
    Case("missing price", edited(EXPECTED, b"30552=98700.0\x01", b""), "MISSING_TAG", b"10="),
    Case("missing 34", edited(EXPECTED, b"34=5\x01", b""), "MISSING_TAG", b"10="),
    Case("missing 30001", edited(EXPECTED, b"30001=DVX\x01", b""), "MISSING_TAG", b"10="),
    Case("empty 34", edited(EXPECTED, b"34=5\x01", b"34=\x01"), "EMPTY_VALUE", b"34="),
    Case("empty 55", edited(EXPECTED, b"55=VN41I1F60005", b"55="), "EMPTY_VALUE", b"55="),
    Case("empty price", edited(EXPECTED, b"30552=98700.0", b"30552="), "EMPTY_VALUE", b"30552="),
    Case("empty 52", edited(EXPECTED, b"52=20261120 02:15:00.123", b"52="), "EMPTY_VALUE", b"52="),
    Case("34 twice", put(b"34=5", b"34=5"), "DUPLICATE_TAG", EXPECTED.index(b"34=5") + 5),
    Case("35 twice", put(b"35=ME", b"35=ME"), "DUPLICATE_TAG", EXPECTED.index(b"35=ME") + 6),
    Case("55 twice", put(b"20004=G1", b"55=VN41I1F60005"), "DUPLICATE_TAG", EXPECTED.index(b"55=") + 16),
    Case("board twice", put(b"20004=G1", b"20004=G4"), "DUPLICATE_TAG", b"20004=G4"),
    Case("unknown tag twice", put(b"20004=G1", b"58=a\x0158=b"), "DUPLICATE_TAG", b"58=b"),
    Case(
        "52 before 34",
        framed(BODY.replace(b"34=5\x01", b"").replace(b".123\x01", b".123\x0134=5\x01")),
        "FIELD_ORDER",
        b"52=",
    ),
    Case("market late", framed(BODY.replace(b"30001=DVX\x01", b"") + b"30001=DVX\x01"), "FIELD_ORDER", b"20004="),
    Case("embedded SOH and 10=", put(b"20004=G1", b"58=raw\x0110=123\x01data"), "BAD_FIELD", b"data"),
    Case("embedded 10= alone", put(b"20004=G1", b"58=raw\x0110=123"), "DUPLICATE_TAG", len(EXPECTED) - 7 + 14),
]

VALUES = (
    [
        Case(f"price {name}", edited(EXPECTED, b"30552=98700.0", b"30552=" + text), "BAD_NUMBER", b"30552=")
        for name, text in NUMBERS.items()
    ]
    + [
        Case(f"quantity {name}", edited(EXPECTED, b"30553=120000", b"30553=" + text), "BAD_NUMBER", b"30553=")
        for name, text in {**NUMBERS, "fraction": b"1.5"}.items()
    ]
    + [
        Case(f"SendingTime {text!r}", edited(EXPECTED, b"52=20261120 02:15:00.123", b"52=" + text), "BAD_TIME", b"52=")
        for text in (
            b"yesterday",
            b"20261120",
            b"20261320 02:15:00.123",
            b"20261120 25:15:00.123",
            b"20261120T02:15:00.123",
        )
    ]
    + [
        Case(
            "sequence over 2^63", edited(EXPECTED, b"34=5\x01", b"34=9223372036854775808\x01"), "BAD_SEQUENCE", b"34="
        ),
        Case(
            "sequence of 19 digits",
            edited(EXPECTED, b"34=5\x01", b"34=5000000000000000000\x01"),
            "BAD_SEQUENCE",
            b"34=",
        ),
        Case("sequence negative", edited(EXPECTED, b"34=5\x01", b"34=-1\x01"), "BAD_SEQUENCE", b"34="),
        Case("sequence a word", edited(EXPECTED, b"34=5\x01", b"34=five\x01"), "BAD_SEQUENCE", b"34="),
        Case("market in lower case", edited(EXPECTED, b"30001=DVX", b"30001=dvx"), "BAD_VALUE", b"30001="),
        Case("market of two letters", edited(EXPECTED, b"30001=DVX", b"30001=DV"), "BAD_VALUE", b"30001="),
        Case("invalid UTF-8", edited(EXPECTED, b"20004=G1", b"20004=G\xff"), "BAD_UTF8", b"\xff"),
        Case("half a UTF-8 character", edited(EXPECTED, b"20004=G1", b"20004=G\xc3"), "BAD_UTF8", b"\xc3"),
        Case("type unknown", message("ZZ", 5, (30001, "DVX")), "UNKNOWN_TYPE", b"35="),
        Case("type *", message("*", 5, (30001, "DVX")), "UNKNOWN_TYPE", b"35="),
        Case("type of 100 characters", message("Q" * 100, 5, (30001, "DVX")), "UNKNOWN_TYPE", b"35="),
        Case("type empty", edited(EXPECTED, b"35=ME", b"35="), "UNKNOWN_TYPE", b"35="),
    ]
)

GROUPS = [
    Case("count over", edited(BOOK, b"268=6", b"268=7"), "GROUP_COUNT", b"268="),
    Case("count under", edited(BOOK, b"268=6", b"268=5"), "GROUP_COUNT", b"268="),
    Case("count zero", edited(BOOK, b"268=6", b"268=0"), "GROUP_COUNT", b"268="),
    Case("count negative", edited(BOOK, b"268=6", b"268=-6"), "GROUP_COUNT", b"268="),
    Case("count 10^9", edited(BOOK, b"268=6", b"268=1000000000"), "GROUP_COUNT", b"268="),
    Case("count of 400 digits", edited(BOOK, b"268=6", b"268=" + b"9" * 400), "GROUP_COUNT", b"268="),
    Case("count missing", edited(BOOK, b"268=6\x01", b""), "MISSING_TAG", b"10="),
    Case(
        "members out of order",
        edited(BOOK, b"83=3\x01279=0\x01269=1", b"83=3\x01269=1\x01279=0"),
        "GROUP_ORDER",
        BOOK.index(b"83=3") + 11,
    ),
    Case(
        "member twice",
        edited(BOOK, b"83=3\x01279=0", b"83=3\x01279=0\x01279=0"),
        "GROUP_ORDER",
        BOOK.index(b"83=3") + 11,
    ),
    Case(
        "no delimiter at all",
        framed(b"".join(f + b"\x01" for f in body_of(BOOK)[:-1].split(b"\x01") if not f.startswith(b"83="))),
        "GROUP_ORDER",
        b"279=",
    ),
    Case("one delimiter missing", edited(BOOK, b"83=3\x01", b""), "GROUP_ORDER", BOOK.index(b"83=3")),
    Case("no price in an entry", edited(BOOK, b"270=98600.0\x01", b""), "GROUP_MEMBER", b"83=3"),
    Case("empty price in an entry", edited(BOOK, b"270=98600.0", b"270="), "EMPTY_VALUE", b"270=\x01"),
    Case("bad price in an entry", edited(BOOK, b"270=98600.0", b"270=1e9"), "BAD_NUMBER", b"270=1e9"),
    Case("entry numbers jump", edited(BOOK, b"83=3\x01", b"83=4\x01"), "GROUP_MEMBER", BOOK.index(b"83=3")),
    Case(
        "entry type unknown",
        edited(BOOK, b"83=3\x01279=0\x01269=1", b"83=3\x01279=0\x01269=9"),
        "GROUP_MEMBER",
        BOOK.index(b"83=3") + 11,
    ),
    Case(
        "levels jump",
        edited(BOOK, b"83=3\x01279=0\x01269=1\x01290=2", b"83=3\x01279=0\x01269=1\x01290=3"),
        "BOOK_LEVEL",
        BOOK.index(b"83=3") + 17,
    ),
    Case("an entry behind the group", framed(body_of(BOOK) + b"58=x\x0183=7\x01"), "GROUP_ORDER", b"83=7"),
    Case(
        "neither book nor trade",
        message(
            "X",
            5,
            *[
                (30001, "DVX"),
                (20004, "G1"),
                (336, "40"),
                (55, "VN41I1F60005"),
                (75, "20261120"),
                (60, "021500120"),
                (268, "0"),
            ],
        ),
        "SHAPE",
        b"268=",
    ),
]

ALL = [*FRAMING, *TAGS, *VALUES, *GROUPS]
HEARTBEAT = heartbeat()
