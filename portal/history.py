"""The last fifteen minutes of the path's rates, one point a second.  [pure]"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

POINTS_MAX = 15 * 60  # one a second; the oldest falls out


@dataclass(frozen=True, slots=True)
class Point:
    """Rates at one second: datagrams in (both lines), messages parsed, records out, and the p99 latency."""

    at_s: int
    received: float
    parsed: float
    delivered: float
    p99_ms: float | None

    def row(self) -> list[float | None]:
        """As the page takes it."""
        return [self.at_s, round(self.received, 1), round(self.parsed, 1), round(self.delivered, 1), self.p99_ms]


class History:
    """A ring of points in order of time."""

    def __init__(self, points_max: int = POINTS_MAX) -> None:
        self._points: deque[Point] = deque(maxlen=points_max)
        self._points_max = points_max

    def add(self, point: Point) -> None:
        """Append `point`; a second point of the same second, or an earlier one, is left out."""
        if not self._points or point.at_s > self._points[-1].at_s:
            self._points.append(point)

    def rows(self, now_s: int) -> list[list[float | None]]:
        """The points of the last fifteen minutes."""
        return [point.row() for point in self._points if point.at_s > now_s - self._points_max]
