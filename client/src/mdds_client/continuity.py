"""Checks that each stream of a subscription is contiguous, or says exactly which numbers are missing.

A stream is (channel, symbol); its records are numbered 1, 2, 3… within an epoch. After a subscribe the server first
sends the last image of each kind (board and message type), in no promised order and with holes between their numbers
that mean nothing. A stream is therefore *settling* until one kind comes for the second time: that record is live.
From there on every jump is a gap, except where numbers are left out on purpose (a record then says in `pn` which number
came before it), for what a notice announced (SKIPPED), an image says it merged (`c`), or the server leaves out of an
image stream while it says that we are slow (SLOW_START to SLOW_END). After that it sends the last images again, so the
image streams settle once more. A stream of `book` never settles: its snapshots say that they are ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

KNOWN_RANGES_MAX = 64  # per stream; past it the oldest announcement is forgotten and would be reported a second time
SETTLING_NUMBERS_MAX = 256  # per stream; past it the stream counts as live
UNKNOWN_END = 2**63 - 1
# Channels whose records replace each other, kind by kind; the records of all others are events.
IMAGE_CHANNELS = frozenset({"quote", "depth", "stats", "expected", "foreign", "index", "definition", "bar"})
# Of these, an image replaces the one before of its board, whatever message brought it.
BOARD_IMAGE_CHANNELS = frozenset({"quote", "depth", "stats", "expected", "index", "bar"})

Kind: TypeAlias = tuple[object, object]


@dataclass(frozen=True, slots=True)
class Gap:
    """Records `first`..`last` of a stream that this subscription did not get, both included.

    `why`: `lost` (a hole in a live stream), `reconnect` (missed while away), `epoch` (the start of a new numbering),
    `slow` (this client's own bounded queue, `on_slow="drop"`), or the server's word: `skipped`, `retention`, …
    """

    channel: str
    symbol: str
    epoch: str
    first: int
    last: int
    why: str
    origin: str | None = None

    @property
    def count(self) -> int | None:
        """How many records; None when the server could not say where the gap ends."""
        return None if self.last >= UNKNOWN_END else self.last - self.first + 1


@dataclass(slots=True)
class _Stream:
    key: tuple[str, str]
    epoch: str
    last: int
    settling: set[Kind] | None  # the kinds that came, while settling
    base: int | None = None  # the last number before a reconnect
    numbers: set[int] | None = None  # what came while settling
    kinds: dict[Kind, int] | None = None  # of an image stream: the newest number of each kind
    conflated: bool = False  # what is missing since `base` was merged, not lost
    anew: bool = False  # the server says that its numbering is another: the next number may be lower


class Continuity:
    """The streams of one subscription. `report` is called with each gap, in the order found."""

    def __init__(self, report: Callable[[Gap], None], *, snapshot: bool = True, origin: str | None = None) -> None:
        self._report = report
        self._snapshot = snapshot
        self._origin = origin
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._known: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self._conflating = False
        self.conflated = 0
        self.duplicates = 0

    def accept(self, record: Mapping[str, Any]) -> bool:
        """Whether the record is new; reports what is missing before it."""
        key, number = (record["ch"], record["s"]), record["n"]
        stream = self._streams.get(key)
        if stream is None:
            self._begin(key, record)
            return True
        if stream.epoch != record["ep"]:
            return self._new_epoch(stream, record)
        if stream.anew and number <= stream.last:
            self._known.pop(key, None)
            self._begin(key, record)
            return True
        stream.anew = False
        if key[0] == "book":
            return self._book(stream, record)
        if isinstance(record.get("pn"), int):
            return self._sparse(stream, record)
        if key[0] == "bar":  # without `pn`: one of those that a subscription begins with
            return self._late(stream, record)
        if stream.settling is not None:
            return self._settle(stream, record)
        if number <= stream.last:
            return self._late(stream, record)
        if number != stream.last + 1:
            self._jumped(stream, record)
        stream.last = number
        if stream.kinds is not None:
            stream.kinds[_kind(record)] = number
        return True

    def announce(self, channel: str, symbol: str, *, first: int, last: int | None, why: str) -> None:
        """The server says that `first`..`last` will not come (or did not): known, reported once, no surprise later."""
        key, end = (channel, symbol), UNKNOWN_END if last is None else last
        stream = self._streams.get(key)
        if stream is not None and stream.settling is None and end <= stream.last:
            return  # the hole was seen and reported when the stream went on behind it
        ranges = self._known.setdefault(key, [])
        ranges.append((first, end))
        del ranges[:-KNOWN_RANGES_MAX]
        self._report(Gap(channel, symbol, stream.epoch if stream else "", first, end, why, self._origin))
        if stream is not None and why == "epoch":
            stream.anew = True  # though the epoch of the new numbering may be called as the old one was

    def reconnected(self) -> None:
        """A new connection continues the streams with their last images, unless it says `resumed`."""
        for stream in self._streams.values():
            if stream.settling is not None and stream.base is not None:
                self._missed_while_away(stream, stream.last + 1)
            stream.base, stream.settling, stream.numbers = stream.last, set(), set()
            stream.conflated = False

    def resumed(self, channel: str, symbol: str, *, first: int) -> None:
        """The server goes on with number `first` and leaves nothing out."""
        stream = self._streams.get((channel, symbol))
        if stream is not None and first <= stream.last + 1:
            stream.base = stream.settling = stream.numbers = None

    def conflate(self, on: bool) -> None:
        """SLOW_START and SLOW_END: between them, and until they settle, image streams have holes that are no loss."""
        if self._conflating and not on:
            for stream in self._streams.values():
                if stream.key[0] == "book":
                    stream.conflated = True
                elif stream.kinds is not None and stream.settling is None:
                    stream.base, stream.settling, stream.numbers, stream.conflated = stream.last, set(), set(), True
        self._conflating = on

    def points(self) -> dict[tuple[str, str], tuple[str, int]]:
        """Where each stream stands: what a `resume` names."""
        return {key: (stream.epoch, stream.last) for key, stream in self._streams.items()}

    def _begin(self, key: tuple[str, str], record: Mapping[str, Any]) -> _Stream:
        number = record["n"]
        settling = {_kind(record)} if self._snapshot else None
        numbers = {number} if self._snapshot else None
        stream = self._streams[key] = _Stream(key, record["ep"], number, settling, numbers=numbers)
        if key[0] in IMAGE_CHANNELS:
            stream.kinds = {_kind(record): number}
        return stream

    def _new_epoch(self, old: _Stream, record: Mapping[str, Any]) -> bool:
        self._known.pop(old.key, None)
        stream = self._begin(old.key, record)
        if old.settling is None:  # live: nothing may be missing before the first record of the new numbering
            stream.settling = stream.numbers = None
            self._missing(stream, first=1, last=record["n"] - 1, why="epoch")
        elif old.base is not None:  # reconnected into a new numbering: what it began with was missed
            stream.base = 0
        return True

    def _settle(self, stream: _Stream, record: Mapping[str, Any]) -> bool:
        assert stream.settling is not None
        assert stream.numbers is not None
        number, kind = record["n"], _kind(record)
        if number in stream.numbers or (stream.base is not None and number <= stream.base):
            return self._late(stream, record)
        again = not self._snapshot or kind in stream.settling or len(stream.numbers) >= SETTLING_NUMBERS_MAX
        if again and number > stream.last:
            if stream.base is not None:
                self._missed_while_away(stream, number)
            elif number > stream.last + 1:
                self._jumped(stream, record)
            stream.settling = stream.numbers = stream.base = None
            stream.conflated = False
        else:
            stream.settling.add(kind)
            stream.numbers.add(number)
        stream.last = max(stream.last, number)
        if stream.kinds is not None:
            stream.kinds[kind] = max(number, stream.kinds.get(kind, 0))
        return True

    def _book(self, stream: _Stream, record: Mapping[str, Any]) -> bool:
        """A snapshot is always news; a delta is, above the last number."""
        number, before = record["n"], record.get("pn")
        is_snapshot = record.get("kind") == "snap"
        if not is_snapshot and number <= stream.last:
            self.duplicates += 1
            return False
        last = before if isinstance(before, int) and not is_snapshot else number - 1
        if last > stream.last:
            if stream.base is None and (self._conflating or stream.conflated):
                self.conflated += last - stream.last
            else:
                self._missing(stream, first=stream.last + 1, last=last, why=self._why(stream))
        stream.last = max(stream.last, number)
        stream.base = stream.settling = stream.numbers = None
        stream.conflated = False
        return True

    def _sparse(self, stream: _Stream, record: Mapping[str, Any]) -> bool:
        """A live record of a stream that leaves numbers out on purpose."""
        number, before = record["n"], record["pn"]
        if number <= stream.last:
            return self._late(stream, record)
        began = stream.settling is not None and stream.base is None
        since = stream.last if stream.base is None else stream.base
        if before > since and not began:
            if stream.kinds is not None and (self._conflating or stream.base is not None or stream.conflated):
                self.conflated += before - since  # images: the newest came, which ones were between nobody can say
            else:
                self._missing(stream, first=since + 1, last=before, why=self._why(stream))
        stream.settling = stream.numbers = stream.base = None
        stream.conflated = False
        stream.last = number
        if stream.kinds is not None:
            stream.kinds[_kind(record)] = number
        return True

    @staticmethod
    def _why(stream: _Stream) -> str:
        return "lost" if stream.base is None else "reconnect"

    def _late(self, stream: _Stream, record: Mapping[str, Any]) -> bool:
        """A number that was passed: an image is still news if its kind has none as new, an event never is."""
        if stream.kinds is not None and record["n"] > stream.kinds.get(_kind(record), 0):
            stream.kinds[_kind(record)] = record["n"]
            stream.last = max(stream.last, record["n"])
            return True
        self.duplicates += 1
        return False

    def _missed_while_away(self, stream: _Stream, number: int) -> None:
        """Report what is missing between the last number before a reconnect and `number`."""
        assert stream.base is not None
        at = stream.base + 1
        for came in [*sorted(stream.numbers or ()), number]:
            if stream.conflated:
                self.conflated += max(0, came - at)
            else:
                self._missing(stream, first=at, last=came - 1, why="reconnect")
            at = max(at, came + 1)

    def _jumped(self, stream: _Stream, record: Mapping[str, Any]) -> None:
        first, last, merged = stream.last + 1, record["n"] - 1, record.get("c")
        # `stats` has a `c` of its own (the last price): there it says nothing about merging.
        says_merged = isinstance(merged, int) and stream.key[0] != "stats" and merged >= last - first + 1
        if says_merged or (self._conflating and stream.kinds is not None):
            self.conflated += last - first + 1
        else:
            self._missing(stream, first=first, last=last, why="lost")

    def _missing(self, stream: _Stream, *, first: int, last: int, why: str) -> None:
        """Report first..last less what was announced."""
        known = sorted(self._known.get(stream.key, ()))
        for known_first, known_last in known:
            if known_last < first or known_first > last:
                continue
            if known_first > first:
                self._report(Gap(*stream.key, stream.epoch, first, known_first - 1, why, self._origin))
            first = known_last + 1
        if known:
            self._known[stream.key] = [item for item in known if last < item[1] < UNKNOWN_END]
        if first <= last:
            self._report(Gap(*stream.key, stream.epoch, first, last, why, self._origin))


def _kind(record: Mapping[str, Any]) -> Kind:
    return record.get("bd"), record.get("mt")
