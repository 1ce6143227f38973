"""Limits of a plan, and how those of several contracts come together.  [pure]"""

from collections.abc import Iterable

from subscriptions.entitlements import ON_SLOW, Limits

# Of an operator who watches data in the portal: several pages, no feed of his own.
OPERATOR_LIMITS = Limits(symbols=200, ops_per_s=20, queue_bytes=1_048_576, sessions=8, takeover=True)
ANONYMOUS_LIMITS = Limits(symbols=20, ops_per_s=2, queue_bytes=262_144, sessions=2)


def highest(contracts: Iterable[Limits]) -> Limits:
    """The limits of a subscriber with several current contracts: the highest of each, not their sum."""
    limits = list(contracts)
    return Limits(
        symbols=max(one.symbols for one in limits),
        ops_per_s=max(one.ops_per_s for one in limits),
        queue_bytes=max(one.queue_bytes for one in limits),
        sessions=max(one.sessions for one in limits),
        takeover=any(one.takeover for one in limits),
        on_slow=max((one.on_slow for one in limits), key=ON_SLOW.index),
    )
