"""How long to wait before the next connection: full jitter, never earlier than the server asked for."""

from __future__ import annotations

CAP_S = 30.0
BASE_S = 0.5
STABLE_S = 10.0  # a connection that lived this long ends the series of failures


def reconnect_delay_s(attempt: int, *, draw: float, retry_after_ms: int | None = None) -> float:
    """Seconds before attempt number `attempt` (0 is the first after a loss); `draw` is uniform in [0, 1)."""
    ceiling = min(CAP_S, BASE_S * 2.0 ** min(attempt, 16))
    return max((retry_after_ms or 0) / 1000, draw * ceiling)


class Pace:
    """Spreads operations so that the server's `ops_per_s` is not overrun: a burst of one second, then evenly."""

    def __init__(self, ops_per_s: float | None) -> None:
        self._interval_s = 1 / ops_per_s if ops_per_s and ops_per_s > 0 else 0.0
        self._free_at_s = float("-inf")

    def wait_s(self, now_s: float) -> float:
        """Take one slot; the seconds to wait before using it."""
        if not self._interval_s:
            return 0.0
        self._free_at_s = max(self._free_at_s, now_s - 1.0) + self._interval_s
        return max(0.0, self._free_at_s - now_s)
