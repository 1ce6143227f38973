"""The bus in memory: the embedded default, with the bounds, policies and counters of the real one.

RAW confirms when the consumer acknowledges, so the publisher's cursor never passes what the parser has check-pointed:
a killed embedded process loses nothing either, the journal has it. Retained values and dead letters are files.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from feeds.bus.base import (
    DEAD_BYTES_MAX,
    DEAD_DAYS_MAX,
    OUTBOX_BYTES_MAX,
    PARSED_QUEUE_BYTES_MAX,
    RAW_FOLLOWED_BYTES_MAX,
    BusCounts,
    Delivery,
    Outgoing,
    put_all,
)
from feeds.dead_letters.files import DeadLetterFiles

# What the real bus keeps in a stream queue. Past it the oldest go: a refetch from before begins with a gap.
PARSED_KEPT_BYTES_MAX = 16 << 20

OnConfirmed = Callable[[], None] | None


class MemorySubscription:
    """A queue with one reader."""

    def __init__(self, on_closed: Callable[[], None] | None = None) -> None:
        self.waiting: deque[tuple[Delivery, OnConfirmed]] = deque()
        self.unacked: deque[tuple[Delivery, OnConfirmed]] = deque()
        self.waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._on_closed = on_closed
        self._tag = 0
        self.closed = False

    def push(self, message: Outgoing, on_confirmed: OnConfirmed = None) -> None:
        self._tag += 1
        self.waiting.append((Delivery(message.body, message.headers, 1, self._tag), on_confirmed))
        self.waiting_bytes += len(message.body)
        self._arrived.set()

    def drop_oldest(self) -> None:
        delivery, _ = self.waiting.popleft()
        self.waiting_bytes -= len(delivery.body)

    def get_nowait(self) -> Delivery | None:
        if not self.waiting:
            return None
        item = self.waiting.popleft()
        self.waiting_bytes -= len(item[0].body)
        self.unacked.append(item)
        return item[0]

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        while not self.closed:
            delivery = self.get_nowait()
            if delivery is None:
                self._arrived.clear()
                await self._arrived.wait()
            else:
                yield delivery

    def ack(self, delivery: Delivery) -> None:
        while self.unacked and self.unacked[0][0].tag <= delivery.tag:
            _, on_confirmed = self.unacked.popleft()
            if on_confirmed is not None:
                on_confirmed()

    async def close(self) -> None:
        """The reader leaves: what it did not acknowledge waits for the next one."""
        self.closed = True
        while self.unacked:
            item = self.unacked.pop()
            self.waiting.appendleft(item)
            self.waiting_bytes += len(item[0].body)
        self._arrived.set()
        if self._on_closed is not None:
            self._on_closed()


class MemoryOutbox:
    """Hands messages to `deliver` at once and counts what is not confirmed yet."""

    def __init__(self, deliver: Callable[[Outgoing, OnConfirmed], None], counts: BusCounts, *, confirms: bool) -> None:
        self._deliver = deliver
        self._counts = counts
        self._confirms = confirms
        self._room = asyncio.Event()
        self._room.set()
        self.backlog_bytes = 0

    async def put(self, message: Outgoing, on_confirmed: OnConfirmed = None) -> None:
        while self.backlog_bytes >= OUTBOX_BYTES_MAX:  # at the bound: wait, the journal keeps the rest
            self._room.clear()
            await self._room.wait()
        size = len(message.body)
        self._counts.published += 1
        if not self._confirms:
            self._deliver(message, None)
            self._counts.confirmed += 1
            if on_confirmed is not None:
                on_confirmed()
            return
        self.backlog_bytes += size

        def confirmed() -> None:
            self.backlog_bytes -= size
            self._counts.confirmed += 1
            self._room.set()
            if on_confirmed is not None:
                on_confirmed()

        self._deliver(message, confirmed)

    async def drained(self) -> None:
        while self.backlog_bytes:
            self._room.clear()
            await self._room.wait()

    async def close(self) -> None:
        self._room.set()


class MemoryBus:
    """A bus for one process. `data_dir` keeps retained values and dead letters."""

    def __init__(self, data_dir: Path, partitions: int) -> None:
        self.counts = BusCounts()
        self.partitions = partitions
        self._folder = data_dir / "bus"
        self._dead = DeadLetterFiles(data_dir / "dead_letters", bytes_max=DEAD_BYTES_MAX, days_max=DEAD_DAYS_MAX)
        self._raw: dict[tuple[int, bool], MemorySubscription] = {}
        self._parsed: dict[str, MemorySubscription] = {}
        self._raw_followers: dict[str, MemorySubscription] = {}
        self._kept: deque[Outgoing] = deque()  # live PARSED, for refetches; past its bound the oldest go
        self._kept_bytes = 0

    async def open(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        for subscription in [*self._raw.values(), *self._parsed.values(), *self._raw_followers.values()]:
            subscription.closed = True

    def raw_outbox(self, *, replay: bool = False) -> MemoryOutbox:
        def deliver(message: Outgoing, on_confirmed: OnConfirmed) -> None:
            self._queue(message.partition, replay).push(message, on_confirmed)
            self._copy_raw(message, None)

        return MemoryOutbox(deliver, self.counts, confirms=True)

    def beside_outbox(self) -> MemoryOutbox:
        return MemoryOutbox(self._copy_raw, self.counts, confirms=False)

    def parsed_outbox(self) -> MemoryOutbox:
        return MemoryOutbox(self._fan_out, self.counts, confirms=False)

    async def publish_raw(self, messages: Sequence[Outgoing], *, replay: bool = False) -> None:
        await put_all(self.raw_outbox(replay=replay), messages)

    def consume_raw(self, partition: int, *, replay: bool = False) -> MemorySubscription:
        queue = self._queue(partition, replay)
        if queue.closed:  # the reader before left: the next one takes over what waits
            successor = MemorySubscription()
            for delivery, on_confirmed in queue.waiting:
                successor.push(Outgoing(partition, delivery.body, delivery.headers), on_confirmed)
            queue = self._raw[partition, replay] = successor
        return queue

    def follow_raw(self, name: str, on_bound: Callable[[], None]) -> MemorySubscription:
        subscription = MemorySubscription(on_closed=lambda: self._raw_followers.pop(name, None) and None)
        self._raw_followers[name] = subscription
        on_bound()
        return subscription

    def consume_parsed(self, name: str, on_reconnect: Callable[[], None] | None = None) -> MemorySubscription:
        subscription = MemorySubscription(on_closed=lambda: self._parsed.pop(name, None) and None)
        self._parsed[name] = subscription
        return subscription

    def dead_outbox(self) -> MemoryOutbox:
        return MemoryOutbox(self._keep_dead, self.counts, confirms=False)

    def _keep_dead(self, message: Outgoing, _on_confirmed: OnConfirmed) -> None:
        self._dead.append(message.body, time.time_ns())

    async def dead_letters(self) -> AsyncIterator[bytes]:
        """From the files, which another process may write."""
        for text in self._dead.read():
            yield text

    async def refetch_parsed(self, since_ns: int) -> AsyncIterator[Delivery]:
        """Live messages from about `since_ns` on, as far as they are kept (PARSED_KEPT_BYTES_MAX)."""
        for message in list(self._kept):
            if int(message.headers.get("t_pub", 0)) >= since_ns:
                yield Delivery(message.body, message.headers, 0, 0)

    async def retain(self, key: str, body: bytes) -> None:
        path = self._folder / f"{key}.state"
        temporary = path.with_suffix(".new")
        temporary.write_bytes(body)
        temporary.replace(path)

    async def retained(self, key: str) -> bytes | None:
        try:
            return (self._folder / f"{key}.state").read_bytes()
        except FileNotFoundError:
            return None

    def _queue(self, partition: int, replay: bool) -> MemorySubscription:
        return self._raw.setdefault((partition, replay), MemorySubscription())

    def _keep_parsed(self, message: Outgoing) -> None:
        self._kept.append(message)
        self._kept_bytes += len(message.body)
        while self._kept_bytes > PARSED_KEPT_BYTES_MAX:
            self._kept_bytes -= len(self._kept.popleft().body)

    def _fan_out(self, message: Outgoing, _on_confirmed: OnConfirmed) -> None:
        if message.headers.get("origin") == "live":
            self._keep_parsed(message)
        for subscription in self._parsed.values():
            self._push_bounded(subscription, message, bytes_max=PARSED_QUEUE_BYTES_MAX)

    def _copy_raw(self, message: Outgoing, _on_confirmed: OnConfirmed) -> None:
        for subscription in self._raw_followers.values():
            self._push_bounded(subscription, message, bytes_max=RAW_FOLLOWED_BYTES_MAX)

    def _push_bounded(self, subscription: MemorySubscription, message: Outgoing, *, bytes_max: int) -> None:
        """At the bound the oldest go, as in the real queue: the message numbers show the loss."""
        while subscription.waiting and subscription.waiting_bytes + len(message.body) > bytes_max:
            subscription.drop_oldest()
            self.counts.dropped += 1
        subscription.push(message)
        self.counts.delivered += 1
