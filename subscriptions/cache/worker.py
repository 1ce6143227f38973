"""The storage worker: the last images of PARSED into the hot cache, off every other worker's path."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

from prometheus_client.metrics_core import Metric

from feeds.bus.base import Bus, Delivery, Subscription
from subscriptions.cache.images import ImageBook, StreamImages
from subscriptions.cache.metrics import storage_metrics
from subscriptions.cache.store import CacheDown, ImageStore

log = logging.getLogger(__name__)

FLUSH_S = 0.1
RETRY_S = 1.0  # after a failed write; images conflate meanwhile, so nothing grows
MARK_EVERY_S = 1.0  # a cache that was emptied is seen within this time, and filled again from memory
REFETCH_OVERLAP_NS = 2_000_000_000
YIELD_EVERY_S = 0.005
LIVE = "live"


class ParsedSource(Protocol):
    """The part of the bus that the worker uses."""

    def consume_parsed(self, name: str, on_reconnect: Callable[[], None] | None = None) -> Subscription: ...

    def refetch_parsed(self, since_ns: int) -> AsyncIterator[Delivery]: ...


class StorageWorker:
    kind = "storage"

    def __init__(
        self, source: ParsedSource, store: ImageStore, *, name: str = "storage", own_bus: Bus | None = None
    ) -> None:
        """`own_bus`: a bus that nobody else opens and closes; None when `source` is open already."""
        self.source, self.store, self.name, self.own_bus = source, store, name, own_bus
        self.book = ImageBook()
        self.messages = self.written = self.writes = self.failures = self.refills = 0
        self.up = True
        self.write_ms = 0.0
        self._mark = uuid.uuid4().hex
        self._marked_at = float("-inf")
        self._published_ns = 0
        self._reconnected = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, with a last write."""
        try:
            if self.own_bus is not None:
                await self.own_bus.open()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._consume(), name=f"{self.name} consume"),
                    group.create_task(self._keep_writing(), name=f"{self.name} write"),
                ]
                await stop.wait()
                for task in tasks:
                    task.cancel()
            with contextlib.suppress(CacheDown, TimeoutError):
                async with asyncio.timeout(2.0):
                    await asyncio.to_thread(self.store.put, self.book.take())
        finally:
            self.store.close()
            if self.own_bus is not None:
                await self.own_bus.close()

    def stats(self) -> dict[str, object]:
        return {
            "streams": len(self.book.streams),
            "waiting": len(self.book.changed),
            "messages": self.messages,
            "written": self.written,
            "writes": self.writes,
            "write_ms": round(self.write_ms, 1),
            "failures": self.failures,
            "refills": self.refills,
            "cache_up": self.up,
            "dropped": {"unreadable": self.book.unreadable, "refused": self.book.refused},
        }

    def metrics(self) -> Iterator[Metric]:
        """For Prometheus, read at each scrape."""
        return storage_metrics(self)

    async def _consume(self) -> None:
        """Writing an image twice is harmless: repeats and overlaps need no care here."""
        subscription = self.source.consume_parsed(self.name, on_reconnect=self._reconnected.set)
        busy_since = time.monotonic()
        try:
            async for delivery in subscription:
                if self._reconnected.is_set():
                    await self._refetch()
                self._take(delivery)
                subscription.ack(delivery)
                if time.monotonic() - busy_since >= YIELD_EVERY_S:
                    await asyncio.sleep(0)
                    busy_since = time.monotonic()
        finally:
            with contextlib.suppress(ConnectionError):
                await subscription.close()

    async def _refetch(self) -> None:
        """What was published while the bus was away came to no queue."""
        self._reconnected.clear()
        if not self._published_ns:
            return
        try:
            async for delivery in self.source.refetch_parsed(self._published_ns - REFETCH_OVERLAP_NS):
                self._take(delivery)
        except ConnectionError as error:
            log.warning("%s: %s; trying again", self.name, error)
            self._reconnected.set()

    def _take(self, delivery: Delivery) -> None:
        self.messages += 1
        headers = delivery.headers
        if headers.get("origin") == LIVE:
            self.book.note(delivery.body)
            self._published_ns = max(self._published_ns, int(str(headers.get("t_pub") or 0)))

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S if self.up else RETRY_S)
            began = time.monotonic()
            batch = self.book.take()
            try:
                if began - self._marked_at >= MARK_EVERY_S:
                    await self._look_after_mark()
                    self._marked_at = began
                if batch:
                    self.written += await asyncio.to_thread(self.store.put, batch)
                    self.writes += 1
                    self.write_ms = (time.monotonic() - began) * 1000
                if not self.up:
                    log.info("%s: the cache is back", self.name)
                self.up = True
            except CacheDown as error:
                self.book.give_back(batch)
                self.failures += 1
                self._marked_at = float("-inf")
                if self.up:
                    log.warning("%s: the cache is away, images wait in memory: %s", self.name, error)
                self.up = False

    async def _look_after_mark(self) -> None:
        """A cache without our mark is new, was emptied or belonged to another run: it gets everything."""
        if await asyncio.to_thread(self.store.holds, self._mark):
            return
        every = {key: StreamImages(one.epoch, dict(one.images)) for key, one in self.book.streams.items()}
        await asyncio.to_thread(self.store.put, every)
        await asyncio.to_thread(self.store.set_mark, self._mark)
        self.refills += 1
