"""Receive-to-publish latency of the last seconds: a small histogram with quantiles, weighted by records."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

# Upper bounds in ns: 100 µs to 60 s, about 25 % apart.
BOUNDS = tuple(int(100_000 * 1.25**step) for step in range(61))
WINDOW_S = 10


class Latency:
    """Counts per bound; each second a new row, the last ten are kept."""

    def __init__(self) -> None:
        self._rows: deque[tuple[int, list[int]]] = deque(maxlen=WINDOW_S)
        self.total = [0] * (len(BOUNDS) + 1)
        self.sum_ns = 0

    def observe(self, latency_ns: int, weight: int) -> None:
        """Note `weight` records that took `latency_ns` from the socket to PARSED."""
        second = int(time.monotonic())
        if not self._rows or self._rows[-1][0] != second:
            self._rows.append((second, [0] * (len(BOUNDS) + 1)))
        at = bisect_left(BOUNDS, latency_ns)
        self._rows[-1][1][at] += weight
        self.total[at] += weight
        self.sum_ns += latency_ns * weight

    def recent(self) -> list[int]:
        """Counts per bound over the last seconds."""
        now = int(time.monotonic())
        rows = [row for second, row in self._rows if now - second <= WINDOW_S]
        return [sum(column) for column in zip(*rows, strict=True)] if rows else [0] * (len(BOUNDS) + 1)


def quantile_ms(counts: Sequence[int], share: float, bounds: Sequence[int] = BOUNDS) -> float | None:
    """The bound below which `share` of the counts lie, in ms; None without counts."""
    total = sum(counts)
    if not total:
        return None
    wanted, running = share * total, 0
    for at, count in enumerate(counts):
        running += count
        if running >= wanted:
            return bounds[min(at, len(bounds) - 1)] / 1e6
    return None
