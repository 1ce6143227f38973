"""The door through which a replay task reaches the bus.

A worker of its own opens a bus for each task. The embedded process has one bus already, alive on another thread's
event loop: it installs a door that leads there (`install(bridge(bus, loop))`), and tasks do not see the difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from feeds.bus.base import Bus, Outgoing
from feeds.bus.threaded import ThreadedBus


class RawDoor(Protocol):
    """What a player needs of a bus."""

    async def publish_raw(self, messages: Sequence[Outgoing], *, replay: bool = False) -> None:
        """Return when all are confirmed, in order."""


Door = Callable[[], AbstractAsyncContextManager[RawDoor]]


@asynccontextmanager
async def _own_bus() -> AsyncIterator[RawDoor]:
    from django.conf import settings

    from feeds.bus.factory import open_bus

    mdds = settings.MDDS
    bus = open_bus(mdds.bus_url, prefix=mdds.prefix, data_dir=mdds.data_dir, partitions=mdds.partitions)
    await bus.open()
    try:
        yield bus
    finally:
        await bus.close()


_door: Door = _own_bus


def bus_for_task() -> AbstractAsyncContextManager[RawDoor]:
    """The bus for one task: `async with bus_for_task() as bus`."""
    return _door()


def install(door: Door | None) -> None:
    """Lead all later tasks of this process through `door`; None goes back to a bus of their own."""
    global _door
    _door = _own_bus if door is None else door


def bridge(bus: Bus, loop: asyncio.AbstractEventLoop) -> Door:
    """A door to `bus`, which runs on `loop` in another thread and stays open when the task ends."""

    @asynccontextmanager
    async def door() -> AsyncIterator[RawDoor]:
        yield ThreadedBus(bus, loop)

    return door
