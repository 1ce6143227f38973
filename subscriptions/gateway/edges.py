"""What a gateway asks of the outside beside the bus: keys, the journal of rights, instruments, the control layer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from subscriptions.entitlements import Grant
from subscriptions.gateway.authenticator import Authenticator
from subscriptions.gateway.instruments import read_instruments
from subscriptions.gateway.session_counts import SessionCounts
from subscriptions.protocol import ProtocolError

# After a number (None: from now on) the changes of rights: (number, subscriber id or None for everybody). Some that
# were given before may come again.
RightsJournal = Callable[[int | None], Awaitable[Sequence[tuple[int, int | None]]]]
ReadDelays = Callable[[], Awaitable[Iterable[int]]]  # in seconds, those that somebody has a right to


class Keys(Protocol):
    """Grants by secret and by key id; a refusal is a fatal ProtocolError."""

    async def login(self, secret: str, address: str | None) -> Grant: ...

    async def anonymous(self) -> Grant: ...

    async def refresh_all(self, key_ids: Sequence[str]) -> dict[str, Grant | ProtocolError]:
        """Raises OVERLOADED when nobody can be asked; a key that ended has its error as its answer."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class GatewayEdges:
    keys: Keys
    read_instruments: Callable[[], Awaitable[dict[str, tuple[str, str]]]]  # ISIN → (ticker, market)
    control: Any  # a Channels layer for notices
    journal: RightsJournal | None = None
    read_delays: ReadDelays | None = None
    counts: SessionCounts | None = None  # of sessions at all gateways; None: this is the only one


def database_edges(*, control: Any, counts: SessionCounts | None = None) -> GatewayEdges:
    """The edges of the real service."""
    keys = Authenticator()
    return GatewayEdges(keys, read_instruments, control, keys.journal, keys.delays, counts)
