"""How far apart the two copies of a message arrive, sampled: a histogram in µs per later line.

One datagram is remembered at a time, at most a hundred a second; the blocks that follow are searched for its copy. So
the hot loop pays nothing, and a busy feed is measured as often as a quiet one.
"""

from __future__ import annotations

from bisect import bisect_left

from feeds.blocks import Block

BOUNDS_US = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000)
SAMPLE_INTERVAL_NS = 10_000_000
SEARCH_NS_MAX = 250_000_000  # a copy that is later than this is not looked for: its line lost it, or it is a late one


class SkewProbe:
    """Per line the histogram of how much later than the other line it was, and the sum in µs."""

    def __init__(self) -> None:
        self.counts = tuple([0] * (len(BOUNDS_US) + 1) for _ in range(2))
        self.sums_us = [0.0, 0.0]
        self._data = b""
        self._line = 0
        self._rx_ns = 0

    def look(self, block: Block) -> None:
        """Take a journal block."""
        if not block.entries:
            return
        first, last = block.entries[0], block.entries[-1]
        if self._data:
            self._search(block)
            if self._data and not 0 <= last[0] - self._rx_ns < SEARCH_NS_MAX:
                self._data = b""
        if not self._data and not 0 <= last[0] - self._rx_ns < SAMPLE_INTERVAL_NS:
            self._rx_ns, self._line, _flags, self._data = first
            self._search(block)

    def _search(self, block: Block) -> None:
        data, line = self._data, self._line
        for rx_ns, other, _flags, candidate in block.entries:
            if candidate == data and other != line:
                later, skew_us = (other, (rx_ns - self._rx_ns) / 1_000)
                if skew_us < 0:
                    later, skew_us = line, -skew_us
                self.counts[later][bisect_left(BOUNDS_US, skew_us)] += 1
                self.sums_us[later] += skew_us
                self._data = b""
                return

    def quantile_us(self, line: int, share: float) -> float | None:
        """The bound below which `share` of a line's samples lie; None without samples."""
        total, running = sum(self.counts[line]), 0
        for at, count in enumerate(self.counts[line]):
            running += count
            if total and running >= share * total:
                return float(BOUNDS_US[min(at, len(BOUNDS_US) - 1)])
        return None
