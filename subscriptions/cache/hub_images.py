"""The last images as the hub of this process holds them: the hot cache of the embedded default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from subscriptions.cache.images import key_of

TRIES = 5
LIVE = "live"


class Hub(Protocol):
    def images(self, origin: str, key: bytes) -> list[bytes]: ...


class HubImages:
    """Read from any thread while the loop writes: a read that met a write is done again."""

    def __init__(self, hub: Callable[[], Hub]) -> None:
        self._hub = hub

    def get(self, channel: str, symbol: str) -> list[bytes]:
        for _ in range(TRIES - 1):
            try:
                return list(self._hub().images(LIVE, key_of(channel, symbol)))
            except RuntimeError:  # the dictionary changed its size
                continue
        return list(self._hub().images(LIVE, key_of(channel, symbol)))
