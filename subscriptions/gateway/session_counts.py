"""What gateways tell each other of their sessions, whatever keeps it; and its twin in one process.  [pure]"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class CountsDown(ConnectionError):
    """The counts cannot be had: each gateway counts for itself."""


class Held(NamedTuple):
    """A subscriber's sessions at one gateway, and since when the oldest of them is there."""

    sessions: int
    since_ns: int


class Elsewhere(NamedTuple):
    """A subscriber's sessions at all other gateways; the one that has the oldest, "" when there is none."""

    sessions: int = 0
    gateway: str = ""
    since_ns: int = 0


class SessionCounts(Protocol):
    """One gateway's door. Every call raises CountsDown."""

    gateway: str

    async def take(self, who: str, mine: Held, *, limit: int | None) -> Elsewhere:
        """What the others have; `mine` is noted in the same step, unless both together are more than `limit`."""
        ...

    async def tell(self, counts: Mapping[str, Held]) -> None:
        """Note how many sessions are here, and that this gateway lives."""
        ...

    async def leave(self) -> None:
        """This gateway ends: nothing of it counts any more."""
        ...


class MemorySessionCounts:
    """Gateways of one process that share `table`: by gateway and subscriber."""

    def __init__(self, table: dict[str, dict[str, Held]], *, gateway: str) -> None:
        self.gateway, self.table, self.down = gateway, table, False
        table[gateway] = {}

    async def take(self, who: str, mine: Held, *, limit: int | None) -> Elsewhere:
        self._answer()
        others = {name: held[who] for name, held in self.table.items() if who in held and name != self.gateway}
        count = sum(one.sessions for one in others.values())
        if limit is None or count + mine.sessions <= limit:
            self.table.setdefault(self.gateway, {})[who] = mine
        if not others:
            return Elsewhere()
        oldest = min(others, key=lambda name: others[name].since_ns)
        return Elsewhere(count, oldest, others[oldest].since_ns)

    async def tell(self, counts: Mapping[str, Held]) -> None:
        self._answer()
        held = self.table.setdefault(self.gateway, {})
        for who, one in counts.items():
            if one.sessions:
                held[who] = one
            else:
                held.pop(who, None)

    async def leave(self) -> None:
        self.table.pop(self.gateway, None)

    def _answer(self) -> None:
        if self.down:
            raise CountsDown("the table is away")
