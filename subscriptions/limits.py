"""Limits of a plan: how contracts add up, and the rate of a session's operations.  [pure]"""

from collections.abc import Iterable

from subscriptions.entitlements import Limits

ANONYMOUS_LIMITS = Limits(symbols=20, ops_per_s=2, queue_bytes=262_144, sessions=2)
OPS_DELAY_NS_MAX = 2_000_000_000  # a request that would wait longer is refused with RATE_LIMIT


def highest(contracts: Iterable[Limits]) -> Limits:
    """The limits of a subscriber with several current contracts: the highest of each, not their sum."""
    limits = list(contracts)
    return Limits(
        symbols=max(one.symbols for one in limits),
        ops_per_s=max(one.ops_per_s for one in limits),
        queue_bytes=max(one.queue_bytes for one in limits),
        sessions=max(one.sessions for one in limits),
    )


class OperationRate:
    """A token bucket of one second's operations: beyond it a request is delayed, then refused."""

    def __init__(self, ops_per_s: int, *, now_ns: int) -> None:
        if ops_per_s < 1:
            raise ValueError(f"ops_per_s {ops_per_s}: expected at least 1")
        self.interval_ns = 1_000_000_000 // ops_per_s
        self._free_ns = now_ns - 1_000_000_000 + self.interval_ns  # when the bucket's next token falls due

    def take(self, now_ns: int) -> int | None:
        """Nanoseconds to wait before this operation; None: refuse it (nothing is taken then)."""
        free_ns = max(self._free_ns, now_ns - 1_000_000_000 + self.interval_ns)
        delay_ns = max(0, free_ns - now_ns)
        if delay_ns > OPS_DELAY_NS_MAX:
            return None
        self._free_ns = free_ns + self.interval_ns
        return delay_ns
