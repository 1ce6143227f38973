"""I11 and I12: memory and descriptors stay within their bounds, and the lag is gone in time after healing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Usage(NamedTuple):
    """One look at a process."""

    at_s: float
    rss_bytes: int
    descriptors: int


def usage_is_bounded(
    name: str, looks: Sequence[Usage], *, growth_bytes_max: int, descriptors_max: int, warm_s: float
) -> list[str]:
    """I11: after `warm_s` the memory of a process grows by at most so much, and its descriptors come back."""
    warm = [look for look in looks if look.at_s >= looks[0].at_s + warm_s] if looks else []
    if len(warm) < 2:
        return []
    violations = []
    grown = warm[-1].rss_bytes - warm[0].rss_bytes
    if grown > growth_bytes_max:
        violations.append(f"I11 {name}: grew by {grown >> 20} MiB, at most {growth_bytes_max >> 20} expected")
    more = warm[-1].descriptors - warm[0].descriptors
    if more > descriptors_max:
        violations.append(f"I11 {name}: {more} more descriptors than at first")
    return violations


def lag_is_gone(name: str, healed_s: float, drained_s: float | None, *, budget_s: float) -> list[str]:
    """I12: from the healing to the moment in which nothing waited any more."""
    if drained_s is None:
        return [f"I12 {name}: still behind {budget_s:.0f} s after healing"]
    if drained_s - healed_s > budget_s:
        return [f"I12 {name}: {drained_s - healed_s:.1f} s until nothing waited, budget {budget_s:.0f} s"]
    return []


def queues_are_empty(counts: Mapping[str, int]) -> list[str]:
    """I11: nothing is left in a queue after the run."""
    return [f"I11: {count} messages left in {name}" for name, count in sorted(counts.items()) if count]
