"""Builds the feed's messages for tests: simplefix for sound ones, raw bytes for broken ones."""

from __future__ import annotations

import simplefix

SOH = b"\x01"
SENT = "20261120 02:15:00.123"
ISIN = "VN000000FPT1"
Pair = tuple[int, str | int | bytes]


def message(msg_type: str, sequence: int | str, *body: Pair, sent: str = SENT) -> bytes:
    """One message as krx_mdds.md says: header 8,9,35,49,56,34,52, then `body`, then 10."""
    fix = simplefix.FixMessage()
    fix.append_pair(8, "FIX.4.4")
    fix.append_pair(35, msg_type)
    for tag, value in ((49, "VNMGW"), (56, "99999"), (34, sequence), (52, sent), *body):
        fix.append_pair(tag, value)
    encoded: bytes = fix.encode()
    return encoded


def framed(body: bytes) -> bytes:
    """`body` (from `35=` on, its last SOH included) with a right BodyLength and CheckSum, whatever it holds."""
    return trailed(b"8=FIX.4.4\x019=%d\x01%b" % (len(body), body))


def trailed(data: bytes) -> bytes:
    """`data` with the CheckSum that belongs to it."""
    return data + b"10=%03d\x01" % (sum(data) % 256)


def body_of(data: bytes) -> bytes:
    """The body of a sound message: what BodyLength counts."""
    return data[data.index(b"35=") : -7]


def edited(data: bytes, old: bytes, new: bytes) -> bytes:
    """A sound message with one place of its body changed and the frame put right again."""
    body = body_of(data)
    assert body.count(old) == 1, f"{old!r} stands {body.count(old)} times"
    return framed(body.replace(old, new))


def price_head(*, isin: str = ISIN, market: str = "STO", board: str = "G1", session: str = "40") -> list[Pair]:
    return [(30001, market), (20004, board), (336, session), (55, isin), (75, "20261120"), (60, "021500120")]


def entry(number: int, kind: str, level: int, *, price: str, quantity: str, extra: Pair = (346, "0")) -> list[Pair]:
    """One entry of the repeating group."""
    head: list[Pair] = [(83, number), (279, 0), (269, kind), (290, level), (270, price), (271, quantity)]
    return [*head, extra]


def trade(sequence: int | str, *, price: str = "98500.0", quantity: str = "300", **where: str) -> bytes:
    """X in trade shape; `where` is isin, market, board, session."""
    body = [*price_head(**where), (387, "412300"), (381, "40611550000.0"), (268, "4")]
    for number, (kind, value) in enumerate((("2", price), ("4", "98100.0"), ("7", "99000.0"), ("8", "97900.0")), 1):
        body += entry(number, kind, 0, price=value, quantity=quantity if kind == "2" else "0")
    return message("X", sequence, *body)


def book(sequence: int | str, *, depth: int = 3, bid: int = 98400, **where: str) -> bytes:
    """X in book shape, offers from `bid` + 100 up, quantities 100 × level."""
    body = [*price_head(**where), (30521, "5000"), (30522, "7000"), (30523, "12"), (30524, "17"), (268, 2 * depth)]
    for level in range(1, depth + 1):
        offer, low = f"{bid + 100 * level}.0", f"{bid - 100 * (level - 1)}.0"
        body += entry(2 * level - 1, "1", level, price=offer, quantity=str(100 * level))
        body += entry(2 * level, "0", level, price=low, quantity=str(200 * level))
    return message("X", sequence, *body)


def expected(sequence: int | str, *, market: str = "STO", isin: str = ISIN, price: str = "98700.0") -> bytes:
    """ME."""
    body: list[Pair] = [(30001, market), (20004, "G1"), (55, isin), (30552, price), (30553, "120000")]
    return message("ME", sequence, *body, (30554, "0.0"))


def heartbeat(sequence: int = 1) -> bytes:
    """MV."""
    return message("MV", sequence, (60, "021500120"))
