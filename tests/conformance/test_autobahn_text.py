"""Autobahn's groups 6.5 to 6.23, every case: which bytes are text, which are not (after Markus Kuhn's decoder test).

Text that is right comes back as the id of a `ping`; text that is not ends the connection with 1007.
"""

from __future__ import annotations

import json

import pytest

from tests.conformance.raw import TEXT, Raw, frame, raw_client
from tests.conformance.server import Server

pytestmark = pytest.mark.services
GREEK = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"


def numbered(group: str, *values: bytes, first: int = 1) -> dict[str, bytes]:
    return {f"{group}.{number}": value for number, value in enumerate(values, first)}


def points(group: str, *values: int) -> dict[str, bytes]:
    return numbered(group, *(chr(value).encode() for value in values))


RIGHT = {
    **numbered("6.5", b"Hello-", b"\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
               b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!", GREEK,
               "\U00010143\U00010144".encode()),
    # Prefixes of the Greek word that end with a whole character; the others are below.
    "6.6.2": GREEK[:2], "6.6.5": GREEK[:5], "6.6.7": GREEK[:7], "6.6.9": GREEK[:9], "6.6.11": GREEK[:11],
    # First and last sequence of each length; U+0000 is text, but not JSON (NOT_JSON).
    **{f"6.7.{length}": chr(value).encode() for length, value in ((1, 0), (2, 0x80), (3, 0x800), (4, 0x10000))},
    **{f"6.9.{length}": chr(value).encode() for length, value in ((1, 0x7F), (2, 0x7FF), (3, 0xFFFF), (4, 0x10FFFF))},
    **points("6.11", 0xD7FF, 0xE000, 0xFFFD, 0x10FFFF),
    **points("6.22", *(plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF))),
    **points("6.23", *range(0xFFF9, 0xFFFE), 0xFFFE, 0xFFFF),
}  # fmt: skip
NOT_JSON = {"6.7.1"}
LONELY = (range(0xC0, 0xE0), range(0xE0, 0xF0), range(0xF0, 0xF8), range(0xF8, 0xFC), range(0xFC, 0xFE))
SHORT = (b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80",
         b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf")  # fmt: skip
WRONG = {
    **{f"6.6.{length}": GREEK[:length] for length in (1, 3, 4, 6, 8, 10)},
    **numbered("6.8", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"),
    **numbered("6.10", b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"),
    "6.11.5": b"\xf4\x90\x80\x80",
    **numbered("6.12", b"\x80", b"\xbf", *(b"\x80\xbf" * half + b"\x80" * odd for half, odd in
               ((1, 0), (1, 1), (2, 0), (2, 1), (3, 0))), bytes(range(0x80, 0xC0))),
    **numbered("6.13", *(b" ".join(bytes([value]) for value in values) + b" " for values in LONELY)),
    **numbered("6.14", *SHORT),
    "6.15.1": b"".join(SHORT),
    **numbered("6.16", b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"),
    # The slash, the longest and NUL, each spelled longer than need be.
    **numbered("6.17", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf",
               b"\xfc\x80\x80\x80\x80\xaf"),
    **numbered("6.18", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf",
               b"\xfc\x83\xbf\xbf\xbf\xbf"),
    **numbered("6.19", b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80",
               b"\xfc\x80\x80\x80\x80\x80"),
    **numbered("6.20", b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80",
               b"\xed\xbe\x80", b"\xed\xbf\xbf"),
    **numbered("6.21", *(high + low for high in (b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf")
               for low in (b"\xed\xb0\x80", b"\xed\xbf\xbf"))),
}  # fmt: skip


def answer(raw: Raw) -> dict[str, object]:
    for opcode, payload in raw.frames():
        if opcode == TEXT:
            found: dict[str, object] = json.loads(payload)
            return found
    raise EOFError


def asking(text: bytes) -> bytes:
    return frame(TEXT, b'{"op":"ping","id":"%b"}' % text)


def test_every_case_is_there() -> None:
    sizes = {"5": 5, "6": 11, "7": 4, "8": 2, "9": 4, "10": 3, "11": 5, "12": 8, "13": 5, "14": 10, "15": 1, "16": 3,
             "17": 5, "18": 5, "19": 5, "20": 7, "21": 8, "22": 34, "23": 7}  # fmt: skip
    wanted = {f"6.{group}.{number}" for group, size in sizes.items() for number in range(1, size + 1)}
    assert set(RIGHT) | set(WRONG) == wanted
    assert not set(RIGHT) & set(WRONG)


@pytest.mark.parametrize("group", sorted({case.rsplit(".", 1)[0] for case in RIGHT}))
def test_text_that_is_right_is_read_as_it_is(server: Server, group: str) -> None:
    with raw_client(server) as raw:
        for case, text in RIGHT.items():
            if case.startswith(f"{group}."):
                raw.send(asking(text))
                found = answer(raw)
                expected = ("BAD_JSON", None) if case in NOT_JSON else (None, text.decode())
                assert (found.get("code"), found["id"]) == expected, case


@pytest.mark.parametrize("case", WRONG)
def test_text_that_is_not_ends_the_connection(server: Server, case: str) -> None:
    for payload in (asking(WRONG[case]), frame(TEXT, WRONG[case])):
        with raw_client(server) as raw:
            raw.send(payload)
            assert raw.close_code() == 1007
