"""How the records of a view are made from those of its source stream, one maker for each variant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from subscriptions.books.bars import Bars
from subscriptions.books.book import checksum, delta, snapshot
from subscriptions.books.ladder import Ladder
from subscriptions.books.quote import quote
from subscriptions.gateway.heads import Identity, cut_depth
from subscriptions.gateway.history import History
from subscriptions.gateway.views import FULL, View, with_members

Made = tuple[int, bytes, bool]  # (n, record, whether a newer one may replace it)


class Maker(Protocol):
    """`make` takes the source's records in their order; conflation leaves records out before it, if `merges`."""

    merges: bool

    def make(self, number: int, line: bytes, identity: Identity) -> list[Made]: ...

    def images(self, number: int, images: Mapping[Identity, bytes]) -> list[bytes]:
        """What a subscriber starts with, at the stream's number."""

    def renew(self) -> None:
        """A new epoch begins."""


class ImageMaker:
    """`depth` at a level, `quote`, and every channel whose records are given as they are."""

    merges = True

    def __init__(self, view: View) -> None:
        self._quote = view.channel == "quote"
        self._level = view.level

    def make(self, number: int, line: bytes, identity: Identity) -> list[Made]:
        return [(number, self._of(line), True)]

    def images(self, number: int, images: Mapping[Identity, bytes]) -> list[bytes]:
        return [self._of(line) for line in images.values()]

    def renew(self) -> None:
        """Nothing is remembered."""

    def _of(self, line: bytes) -> bytes:
        if self._quote:
            return quote(line)
        return line if self._level == FULL else cut_depth(line, self._level)


class BookMaker:
    """`book` at a level: deltas between one image of a board and the next; a snapshot where an epoch begins."""

    merges = True

    def __init__(self, view: View, images: Mapping[Identity, bytes]) -> None:
        self._level = view.level
        self._checked = bool(view.conflate_ms)  # merged deltas skip numbers: each carries its checksum
        self._lines: dict[Identity, bytes] = dict(images)
        self._ladders: dict[Identity, Ladder] = {}

    def make(self, number: int, line: bytes, identity: Identity) -> list[Made]:
        first = not self._lines
        before = self._ladder(identity)
        after = Ladder.of(line).cut(self._level)
        self._lines[identity], self._ladders[identity] = line, after
        if first:
            return [(number, snapshot(after, line), False)]
        record = delta(before, after, line)
        if self._checked and not record.rpartition(b"]")[2].startswith(b',"crc":'):
            record = with_members(record, b',"crc":%d' % checksum(after))
        return [(number, record, False)]

    def images(self, number: int, images: Mapping[Identity, bytes]) -> list[bytes]:
        kept = ((identity, line) for identity, line in self._lines.items() if identity in images)
        return [snapshot(self._ladder(identity), line, number) for identity, line in kept]

    def renew(self) -> None:
        self._lines.clear()
        self._ladders.clear()

    def _ladder(self, identity: Identity) -> Ladder:
        ladder = self._ladders.get(identity)
        if ladder is None:
            line = self._lines.get(identity)
            ladder = (Ladder.of(line) if line is not None else Ladder.empty()).cut(self._level)
            self._ladders[identity] = ladder
        return ladder


_NUMBER = re.compile(rb'"n":[0-9]+')
_START = re.compile(rb'"start":"([^"]*)"')
_MINUTE = re.compile(rb'"ts":"([0-9-]+T[0-9:]{5})')
_BOARD = re.compile(rb'"bd":(null|"[^"]*")')
CLOSED_KEPT = 64  # closed bars that a new subscriber is given, at most


class BarMaker:
    """`bar`: after trade k the image of its minute is numbered 2k, the bar that k closed 2k - 1: the same on every
    gateway, whenever it began to look. A minute whose beginning was not seen has no bar."""

    merges = False

    def __init__(self, history: History | None) -> None:
        self._bars = Bars()
        self._torn: bytes | None = None  # the minute in which looking began
        self._seen = 0
        self._closed: list[bytes] = []
        self._open: dict[bytes, bytes] = {}
        for number, line, _, _ in history or ():
            self.make(number, line, (None, b""))

    def make(self, number: int, line: bytes, identity: Identity) -> list[Made]:
        if not self._seen and number > 1 and self._torn is None:
            begun = _MINUTE.search(line)
            self._torn = begun[1] if begun is not None else b"~"
        self._seen = number
        records = self._bars.trade(line)
        made: list[Made] = []
        for at, record in enumerate(records, start=2 * number - len(records) + 1):
            start = _START.search(record)
            if self._torn is not None and start is not None and start[1][:16] <= self._torn:
                continue
            numbered = _NUMBER.sub(b'"n":%d' % at, record, count=1)
            closed = record.endswith(b'"closed":true}')
            self._note(numbered, closed=closed)
            made.append((at, numbered, not closed))
        return made

    def images(self, number: int, images: Mapping[Identity, bytes]) -> list[bytes]:
        return [*self._closed, *self._open.values()]

    def renew(self) -> None:
        self._bars, self._torn, self._seen = Bars(), None, 0
        self._closed.clear()
        self._open.clear()

    def _note(self, record: bytes, *, closed: bool) -> None:
        found = _BOARD.search(record)
        board = found[1] if found is not None else b""
        if closed:
            self._open.pop(board, None)
            self._closed.append(record)
            del self._closed[:-CLOSED_KEPT]
        else:
            self._open[board] = record


def maker_of(view: View, images: Mapping[Identity, bytes], history: History | None) -> Maker:
    """A maker that stands where the stream stands: its last images, and its history."""
    if view.channel == "book":
        return BookMaker(view, images)
    if view.channel == "bar":
        return BarMaker(history)
    return ImageMaker(view)
