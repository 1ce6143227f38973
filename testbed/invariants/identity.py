"""Reads who a message is, and whether its frame holds, with nothing of the product."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

SHARED = frozenset({"X", "f", "M7", "M8", "ME", "MF"})
HEARTBEAT = "MV"
SHOWN_MAX = 8
_HEAD = re.compile(
    rb"8=FIX\.4\.4\x019=(\d+)\x0135=([^\x01]+)\x01.*?\x0134=(\d+)\x01[^\x01]*\x01(?:30001=([A-Z]{3})\x01)?"
)


class Identity(NamedTuple):
    """A message of the feed. `stream` is `market` for the shared counter, else the message type."""

    market: str
    stream: str
    sequence: int
    msg_type: str

    def __str__(self) -> str:
        return f"{self.market}.{self.stream} {self.sequence} ({self.msg_type})"


def is_sound(data: bytes) -> bool:
    """Whether BodyLength and CheckSum hold for the whole of `data`."""
    head = _HEAD.match(data)
    if head is None or not re.fullmatch(rb"10=\d{3}\x01", data[-7:]):
        return False
    return int(head[1]) == len(data) - 7 - head.end(1) - 1 and sum(data[:-7]) % 256 == int(data[-4:-1])


def identity_of(data: bytes) -> Identity | None:
    """None for a heartbeat and for what is no sound message."""
    head = _HEAD.match(data)
    if head is None or head[4] is None or not is_sound(data):
        return None
    msg_type, market = head[2].decode(), head[4].decode()
    shared = msg_type in SHARED or (msg_type, market) == ("MX", "DVX")
    return Identity(market, "market" if shared else msg_type, int(head[3]), msg_type)


def is_heartbeat(data: bytes) -> bool:
    return b"\x0135=MV\x01" in data[:40]


def some(found: Iterable[object]) -> str:
    """The first few, and how many there are."""
    rows = list(found)
    more = f", … {len(rows)} in all" if len(rows) > SHOWN_MAX else ""
    return ", ".join(str(row) for row in rows[:SHOWN_MAX]) + more
