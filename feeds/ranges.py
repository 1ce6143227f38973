"""A set of sequence numbers kept as ranges: what a gap left open, until a late copy fills it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]


class Ranges:
    """Disjoint closed ranges in order. At most `ranges_max`: past it the oldest range is forgotten, which means a
    late copy of it counts as a duplicate (it was declared lost already)."""

    __slots__ = ("_frozen", "_ranges", "ranges_max")

    def __init__(self, ranges: Iterable[Range] = (), ranges_max: int = 10_000) -> None:
        self._ranges: list[Range] = [(int(low), int(high)) for low, high in ranges]
        self.ranges_max = ranges_max
        self._frozen: tuple[Range, ...] | None = None

    def frozen(self) -> tuple[Range, ...]:
        """The ranges as a value. As long as nothing changes it is the same one: those who keep it share it."""
        if self._frozen is None:
            self._frozen = tuple(self._ranges)
        return self._frozen

    def add(self, low: int, high: int) -> None:
        """Add `low`..`high` (both included); overlaps are merged."""
        self._frozen = None
        if not self._ranges or low > self._ranges[-1][1] + 1:  # a gap comes behind those before it
            self._ranges.append((low, high))
            if len(self._ranges) > self.ranges_max:
                del self._ranges[0]
            return
        kept = [r for r in self._ranges if r[1] < low - 1 or r[0] > high + 1]
        touching = [r for r in self._ranges if not (r[1] < low - 1 or r[0] > high + 1)]
        low = min([low, *(r[0] for r in touching)])
        high = max([high, *(r[1] for r in touching)])
        self._ranges = sorted([*kept, (low, high)])[-self.ranges_max :]

    def discard(self, number: int) -> bool:
        """Take `number` out; False when it was not in."""
        at = bisect_right(self._ranges, (number, 1 << 80)) - 1
        if at < 0 or self._ranges[at][1] < number:
            return False
        self._frozen = None
        low, high = self._ranges[at]
        self._ranges[at : at + 1] = [r for r in ((low, number - 1), (number + 1, high)) if r[0] <= r[1]]
        if len(self._ranges) > self.ranges_max:
            del self._ranges[0]
        return True

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._ranges, (number, 1 << 80)) - 1
        return at >= 0 and self._ranges[at][1] >= number

    def __iter__(self) -> Iterator[Range]:
        return iter(self._ranges)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def count(self) -> int:
        """How many numbers are in."""
        return sum(high - low + 1 for low, high in self._ranges)
