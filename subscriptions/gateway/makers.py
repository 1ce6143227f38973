"""How the records of a view are made from those of its source stream, one maker for each variant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from subscriptions.books.book import checksum, delta, snapshot
from subscriptions.books.ladder import Ladder
from subscriptions.books.quote import quote
from subscriptions.gateway.bar_maker import BarMaker, Made
from subscriptions.gateway.heads import Identity, cut_depth
from subscriptions.gateway.history import History
from subscriptions.gateway.views import FULL, View, with_members


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


def maker_of(view: View, images: Mapping[Identity, bytes], history: History | None, *, minute: bytes = b"") -> Maker:
    """A maker that stands where the stream stands: its last images, its history, and for bars the exchange's minute."""
    if view.channel == "book":
        return BookMaker(view, images)
    if view.channel == "bar":
        return BarMaker(history, minute, view.boards)
    return ImageMaker(view)
