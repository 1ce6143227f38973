"""What a subscription may ask of a stream: a view of it, made once for everybody who asks for the same.

The source streams are those the parsers number. `book` and `quote` are views of `depth`, `bar` is a view of `trade`; a
level, a conflation bucket, a filter and an encoding make further views of each.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from subscriptions.gateway.encodings import pack
from subscriptions.gateway.heads import stream_key

FULL = 0  # the level of a view that is not cut
BINARY_MEMBER = {"raw": "data"}  # base64 in JSON, bytes in msgpack
SOURCE_CHANNEL = {"book": "depth", "quote": "depth", "bar": "trade"}
VIEWS_OF = {"depth": ("depth", "book", "quote"), "trade": ("trade", "bar")}
# What a lean record leaves out, of the members that come after the leading ones; other channels have nothing to spare.
LEAN_WITHOUT = {
    "trade": ("ses", "tx", "vol", "val"),
    "depth": ("ses", "tx", "tb", "ta", "cb", "ca"),
    "stats": ("val", "ref", "ceil", "floor", "close_type"),
    "index": ("val", "steady", "ceiling", "floor"),
    "bar": ("trades", "val"),
}
_LEAN = {
    channel: re.compile(rb',"(?:%b)":(?:"(?:[^"\\]|\\.)*"|[^,\[\{\}"]+)' % b"|".join(name.encode() for name in names))
    for channel, names in LEAN_WITHOUT.items()
}


class View(NamedTuple):
    """`boards` empty: all of them. Two subscriptions with equal views are served the same bytes."""

    channel: str
    level: int = FULL
    conflate_ms: int = 0
    boards: tuple[str, ...] = ()
    lean: bool = False
    packed: bool = False

    @property
    def source(self) -> str:
        """The channel of the stream it is a view of."""
        return SOURCE_CHANNEL.get(self.channel, self.channel)

    @property
    def plain(self) -> bool:
        """Whether its records are the parser's bytes."""
        return self == View(self.source)

    @property
    def sparse(self) -> bool:
        """Whether numbers are left out on purpose: its records say which number was the one before (`pn`)."""
        return bool(self.conflate_ms or self.boards) or self.channel == "bar"

    def key(self, symbol: str) -> bytes:
        """The key of its records' stream."""
        return stream_key(self.channel, symbol)

    def finish(self, line: bytes) -> bytes:
        """The last steps of every record of the view: lean, then packed."""
        if self.lean and self.channel in _LEAN:
            line = _LEAN[self.channel].sub(b"", line)
        return pack(line, binary=BINARY_MEMBER.get(self.channel)) if self.packed else line


def with_members(line: bytes, text: bytes) -> bytes:
    """The record with further members at its end: `,"pn":7`."""
    return b"%b%b}" % (line[:-1], text)


def lower_level(wanted: int, granted: int) -> int:
    """The level of a view: FULL (0) is above every other."""
    return min((level for level in (wanted, granted) if level != FULL), default=FULL)
