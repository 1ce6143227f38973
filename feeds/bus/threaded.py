"""Lets another thread publish RAW on a bus that lives in the main loop (the embedded Celery worker)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from feeds.bus.base import Bus, Outgoing


class ThreadedBus:
    """The publishing side of `bus`, for coroutines of another loop."""

    def __init__(self, bus: Bus, loop: asyncio.AbstractEventLoop) -> None:
        self._bus = bus
        self._loop = loop

    async def open(self) -> None:
        """The owner opened it."""

    async def close(self) -> None:
        """The owner closes it."""

    async def publish_raw(self, messages: Sequence[Outgoing], *, replay: bool = False) -> None:
        """As `Bus.publish_raw`; the work runs in the bus' own loop."""
        future = asyncio.run_coroutine_threadsafe(self._bus.publish_raw(messages, replay=replay), self._loop)
        await asyncio.wrap_future(future)
