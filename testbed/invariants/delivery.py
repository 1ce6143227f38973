"""I6: what a client was entitled to it got, conflated or skipped, and no trade was conflated."""

from __future__ import annotations

from collections.abc import Mapping


def everything_is_delivered(gateway: Mapping[str, int], *, conflated_trades: int = 0) -> list[str]:
    """`gateway` has eligible, delivered, conflated, skipped (and discarded with a session) in records."""
    out = sum(gateway.get(name, 0) for name in ("delivered", "conflated", "skipped", "discarded"))
    violations = []
    if gateway["eligible"] != out:
        violations.append(f"I6: eligible {gateway['eligible']} != delivered, conflated, skipped {out}: {dict(gateway)}")
    if conflated_trades:
        violations.append(f"I6: {conflated_trades} trades were conflated")
    return violations
