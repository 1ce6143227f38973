"""A book kept from an incremental feed: a snapshot, then diffs with absolute levels, each checked against the last.

    book = IncrementalBook()
    book.diff(Diff(101, 103, [(b"0.5", b"20")], []))   # waits: there is no snapshot yet
    book.snapshot(102, bids, asks)                     # live, with the diff of 101 to 103 applied
    book.diff(Diff(104, 104, [(b"0.5", b"0")], []))    # the level is gone
    book.diff(Diff(106, 106, [], []))                  # State.GAP: ask for a snapshot; diffs wait for it

A diff covers the updates `first` to `last`. It follows the last one when it begins right after it, or, on feeds that
say so, when its `previous` is the last one's `last`. The first after a snapshot may begin before the snapshot's number.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from subscriptions.books.ladder import FULL, Ladder, Level

DIFFS_MAX = 4_096  # diffs that wait for a snapshot; past it: the oldest goes, counted in `dropped`


class State(Enum):
    """Of a book: before its first snapshot, up to date, or after a gap until the next snapshot."""

    WAITING = "waiting"
    LIVE = "live"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Diff:
    """Levels with their new quantity, 0 where the level is gone. `previous`: `last` of the diff before, if told."""

    first: int
    last: int
    bids: Sequence[Level]
    asks: Sequence[Level]
    previous: int | None = None


class _Side:
    """One side by price; equal prices meet whatever their spelling."""

    def __init__(self, *, bids: bool) -> None:
        self._bids = bids
        self._keys: list[Decimal] = []  # ascending
        self._levels: dict[Decimal, Level] = {}

    def put(self, levels: Sequence[Level]) -> None:
        for price, quantity in levels:
            key = Decimal(price.decode())
            if Decimal(quantity.decode()) > 0:
                if key not in self._levels:
                    insort(self._keys, key)
                self._levels[key] = (price, quantity)
            elif self._levels.pop(key, None) is not None:
                del self._keys[bisect_left(self._keys, key)]

    def best(self, level: int) -> list[Level]:
        """Best first; a price of 0 (a market order of an auction) before every limit."""
        keys = self._keys[::-1] if self._bids else self._keys
        if 0 in self._levels:
            keys = [Decimal(0), *(key for key in keys if key)]
        return [self._levels[key] for key in (keys if level == FULL else keys[:level])]


class IncrementalBook:
    def __init__(self) -> None:
        self.state = State.WAITING
        self.last = 0  # the number of the last update in the book
        self.gaps = 0
        self.dropped = 0  # diffs that found no room among the waiting ones
        self._fresh = False  # no diff since the snapshot
        self._bids, self._asks = _Side(bids=True), _Side(bids=False)
        self._waiting: deque[Diff] = deque(maxlen=DIFFS_MAX)

    def snapshot(self, last: int, bids: Sequence[Level], asks: Sequence[Level]) -> State:
        """The whole book as of update `last`. One that is older than the diffs that wait leaves the book without its
        beginning: the state says so, and a newer snapshot is needed."""
        self._bids, self._asks = _Side(bids=True), _Side(bids=False)
        self._bids.put(bids)
        self._asks.put(asks)
        self.last, self.state, self._fresh = last, State.LIVE, True
        waiting, self._waiting = self._waiting, deque(maxlen=DIFFS_MAX)
        for diff in waiting:
            self.diff(diff)
        return self.state

    def diff(self, diff: Diff) -> State:
        """Apply a diff, or keep it until the snapshot that it needs."""
        if self.state is not State.LIVE:
            self.dropped += len(self._waiting) == DIFFS_MAX
            self._waiting.append(diff)
        elif diff.last > self.last:
            if self._follows(diff):
                self._bids.put(diff.bids)
                self._asks.put(diff.asks)
                self.last, self._fresh = diff.last, False
            else:
                self.state = State.GAP
                self.gaps += 1
                self._waiting.append(diff)
        return self.state

    def ladder(self, level: int = FULL) -> Ladder:
        """The best levels of the book as it is. Only a live book is whole."""
        return Ladder.of_levels(self._bids.best(level), self._asks.best(level))

    def reset(self) -> None:
        """The connection was lost: nothing that comes next follows what is here."""
        self.state = State.WAITING
        self._waiting.clear()

    def _follows(self, diff: Diff) -> bool:
        if diff.previous is None:
            return diff.first == self.last + 1 or (self._fresh and diff.first <= self.last)
        # Numbers of feeds that tell `previous` have holes; what a snapshot holds already may come again in part.
        return diff.previous == self.last or (self._fresh and min(diff.previous, diff.first) <= self.last)
