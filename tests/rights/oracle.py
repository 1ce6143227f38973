"""Replays the history of grants beside what clients received: invariant I10, nothing a second after its right."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from subscriptions.entitlements import Grant, effective_access

GRACE_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Received:
    """One record at a client: `made_ns` is when it was published, `levels` the longer side of a depth image."""

    at_ns: int
    made_ns: int
    channel: str
    symbol: str
    number: int
    levels: int


@dataclass(slots=True)
class History:
    """The grants of one key, each from its time on; None: the key is revoked."""

    times_ns: list[int] = field(default_factory=list)
    grants: list[Grant | None] = field(default_factory=list)

    def change(self, at_ns: int, grant: Grant | None) -> None:
        self.times_ns.append(at_ns)
        self.grants.append(grant)

    def within(self, since_ns: int, until_ns: int) -> list[Grant | None]:
        """Every grant that held at some time of this span."""
        first = max(0, bisect_right(self.times_ns, since_ns) - 1)
        return self.grants[first : bisect_right(self.times_ns, until_ns)]


def leaks(history: History, received: list[Received], *, market: str = "STO") -> list[Received]:
    """What came without a right that held at some time of the last second."""
    return [one for one in received if not _covered(history, one, market)]


def _covered(history: History, one: Received, market: str) -> bool:
    """Real-time and delayed rights are asked apart: a shallow real-time rule may stand beside a deep, delayed one."""
    for grant in history.within(one.at_ns - GRACE_NS, one.at_ns):
        for timeliness in ("realtime", "delayed") if grant is not None else ():
            assert grant is not None
            found = effective_access(
                grant, one.channel, symbol=one.symbol, market=market, at_ns=one.at_ns, timeliness=timeliness
            )
            late_enough = one.at_ns - one.made_ns >= found.delay_s * 1_000_000_000
            if found.allowed and late_enough and one.levels <= found.level:
                return True
    return False
