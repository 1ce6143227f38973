"""What a gateway asks of the outside beside the bus: keys, instruments, and the control layer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from subscriptions.entitlements import Grant
from subscriptions.gateway.authenticator import Authenticator
from subscriptions.gateway.instruments import read_instruments


class Keys(Protocol):
    """Grants by secret and by key id; a refusal is a fatal ProtocolError."""

    async def login(self, secret: str, address: str | None) -> Grant: ...

    async def anonymous(self) -> Grant: ...

    async def refresh(self, key_id: str) -> Grant: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class GatewayEdges:
    keys: Keys
    read_instruments: Callable[[], Awaitable[dict[str, tuple[str, str]]]]  # ISIN → (ticker, market)
    control: Any  # a Channels layer for notices


def database_edges(*, control: Any) -> GatewayEdges:
    """The edges of the real service."""
    return GatewayEdges(Authenticator(), read_instruments, control)
