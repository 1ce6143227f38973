"""The operations rate of one session: delayed above the rate, then refused, then closed."""

from __future__ import annotations

from dataclasses import dataclass

DELAYED_MAX_S = 5  # seconds' worth of operations that are only delayed; past them: RATE_LIMIT
REFUSED_MAX = 100  # refusals in a row; past them: close 4102


@dataclass(frozen=True, slots=True)
class Verdict:
    """Wait `delay_ms` and serve; or refuse and say `retry_after_ms`; or close."""

    delay_ms: int = 0
    refused: bool = False
    close: bool = False
    retry_after_ms: int = 0


class SessionRate:
    """A bucket of one second's operations. A session that stays above the rate runs through the three answers."""

    def __init__(self, ops_per_s: int, *, at_ns: int) -> None:
        self.ops_per_s = max(1, ops_per_s)
        self._tokens = float(self.ops_per_s)
        self._at_ns = at_ns
        self._delayed = self._refused = 0

    def spend(self, at_ns: int) -> Verdict:
        elapsed_s = max(0, at_ns - self._at_ns) / 1e9
        self._at_ns = at_ns
        self._tokens = min(float(self.ops_per_s), self._tokens + elapsed_s * self.ops_per_s)
        if self._tokens >= self.ops_per_s / 2:
            self._delayed = self._refused = 0
        if self._tokens >= 1:
            self._tokens -= 1
            return Verdict()
        if self._delayed < DELAYED_MAX_S * self.ops_per_s:
            self._delayed += 1
            delay_ms = int((1 - self._tokens) * 1000 / self.ops_per_s) + 1
            self._tokens -= 1
            return Verdict(delay_ms=delay_ms)
        self._refused += 1
        return Verdict(refused=True, close=self._refused > REFUSED_MAX, retry_after_ms=1000)
