"""Both buses under one contract: `Site.bus()` is another process's view of the same broker or folder."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from feeds.bus.amqp import AmqpBus
from feeds.bus.base import Bus, Delivery, Outgoing, Subscription
from feeds.bus.memory import MemoryBus

PARTITIONS = 2
WAIT_S = 20.0
_names = itertools.count(1)


@dataclass
class Site:
    """Where a test's bus lives. An empty `url` is memory."""

    url: str
    folder: Path
    prefix: str = field(default_factory=lambda: f"t{next(_names)}")

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Bus]:
        bus: Bus = AmqpBus(self.url, self.prefix, PARTITIONS) if self.url else MemoryBus(self.folder, PARTITIONS)
        await bus.open()
        try:
            yield bus
        finally:
            await bus.close()


def numbered(count: int, *, partition: int = 0, first: int = 0, size: int = 0, origin: str = "live") -> list[Outgoing]:
    """Messages whose bodies begin with their numbers."""
    headers = {"origin": origin, "feed": "KRX", "no": 0}
    return [Outgoing(partition, b"%05d" % n + b"." * size, {**headers, "no": n}) for n in range(first, first + count)]


def number(delivery: Delivery) -> int:
    return int(delivery.body[:5])


async def take(subscription: Subscription, count: int) -> list[Delivery]:
    """The next `count` deliveries; fails when they do not come."""
    taken: list[Delivery] = []
    async with asyncio.timeout(WAIT_S):
        async for delivery in subscription:
            taken.append(delivery)
            if len(taken) == count:
                return taken
    raise AssertionError(f"{len(taken)} of {count} deliveries")


async def nothing_comes(subscription: Subscription, wait_s: float = 0.3) -> bool:
    await asyncio.sleep(wait_s)
    return subscription.get_nowait() is None


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  what is waited for has no event of its own
            await asyncio.sleep(0.01)
