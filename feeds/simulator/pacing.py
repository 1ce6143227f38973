"""Says how many messages are due by now, on an absolute schedule that does not drift.

Pure: time is an argument. A late caller gets what it missed at once, but no more than a second's worth; what is
left out beyond that is counted in `skipped`, so that a suspended machine does not wake up with a flood.
"""

import re
from dataclasses import dataclass

_CATCH_UP_S_MAX = 1.0
_BURST = re.compile(r"(\d+(?:\.\d+)?)x:(\d+(?:\.\d+)?)s?:(?:every )?(\d+(?:\.\d+)?)s?")


class BadBurst(ValueError):
    """A burst is not written as FACTORx:LENGTHs:EVERYs."""


@dataclass(frozen=True)
class Burst:
    """The rate is `factor` times higher for `length_s` at the end of each `every_s`."""

    factor: float
    length_s: float
    every_s: float

    def factor_at(self, elapsed_s: float) -> float:
        return self.factor if elapsed_s % self.every_s >= self.every_s - self.length_s else 1.0


def burst_of(text: str) -> Burst:
    """`10x:2s:30s` (also `10x:2s:every 30s`): ten times the rate for 2 s of each 30 s."""
    match = _BURST.fullmatch(text.strip())
    if match is None:
        raise BadBurst(f"FACTORx:LENGTHs:EVERYs expected, such as 10x:2s:30s, found {text!r}")
    burst = Burst(*(float(part) for part in match.groups()))
    if not 0 < burst.length_s < burst.every_s:
        raise BadBurst(f"a length above 0 and below the interval expected, found {text!r}")
    return burst


class Pace:
    """The schedule of one run."""

    def __init__(self, rate: float, *, burst: Burst | None = None) -> None:
        if rate <= 0:
            raise ValueError(f"a rate above 0 messages/s expected, found {rate}")
        self.rate = rate
        self.skipped = 0
        self._burst = burst
        self._start_ns: int | None = None
        self._last_ns = 0
        self._owed = 0.0

    def due(self, now_ns: int, factor: float = 1.0) -> int:
        """Messages due since the last call; the fraction is carried on. The first call starts the schedule."""
        if self._start_ns is None:
            self._start_ns = self._last_ns = now_ns
        elapsed_s = (now_ns - self._start_ns) / 1e9
        rate = self.rate * factor * (self._burst.factor_at(elapsed_s) if self._burst else 1.0)
        self._owed += (now_ns - self._last_ns) / 1e9 * rate
        self._last_ns = now_ns
        limit = max(rate * _CATCH_UP_S_MAX, 1.0)
        if self._owed > limit:
            self.skipped += int(self._owed - limit)
            self._owed = limit
        count = int(self._owed)
        self._owed -= count
        return count

    def give_back(self, count: int) -> None:
        """Messages that were due and not sent, to be asked for again."""
        self._owed += count
