"""The bus on RabbitMQ."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue
from aio_pika.exceptions import QueueEmpty

from feeds.bus.amqp.inbound import Headers, consume_tapped
from feeds.bus.amqp.link import CALL_S_MAX, Link, broken_is_down
from feeds.bus.amqp.outbox import AmqpOutbox
from feeds.bus.amqp.subscription import AmqpSubscription
from feeds.bus.amqp.topology import Topology
from feeds.bus.base import BusCounts, BusDown, Delivery, Outgoing, put_all

# Unacknowledged RAW messages (about 120 KB each at most) a parser may hold between two checkpoints.
RAW_PREFETCH = 1_000
PARSED_PREFETCH = 2_000
RAW_COPY_PREFETCH = 100
STREAM_PREFETCH = 200
STREAM_ACK_EVERY = 50  # messages; one acknowledgement for all of them
REFETCH_IDLE_S_MAX = 10.0  # a stream read that brings nothing for this long, its own mark neither, has failed
MARK = "mark"  # header of the message that a refetch writes behind what it wants to read; readers of the stream skip it
OPEN_S_MAX = 30.0


class AmqpBus:
    """Publishing and consuming never share a connection, so a blocked publisher does not hold acknowledgements."""

    def __init__(self, url: str, prefix: str, partitions: int) -> None:
        self.counts = BusCounts()
        self.partitions = partitions
        self.topology = Topology(prefix, partitions)
        self._publishing = Link(url, f"{prefix} publish", self.counts)
        self._consuming = Link(url, f"{prefix} consume", self.counts)
        self._outboxes: list[AmqpOutbox] = []
        self._subscriptions: list[AmqpSubscription] = []
        self._replay_outbox: AmqpOutbox | None = None

    async def open(self) -> None:
        """Connect; tries for 30 s, then raises BusDown with the broker's reason."""
        deadline = time.monotonic() + OPEN_S_MAX
        while True:
            try:
                await self._publishing.connect_once()
                return
            except BusDown as error:
                if time.monotonic() > deadline:
                    raise
                await self._publishing.pause(error)

    async def close(self) -> None:
        await asyncio.gather(*(s.close() for s in self._subscriptions), *(o.close() for o in self._outboxes))
        await self._publishing.close()
        await self._consuming.close()

    def raw_outbox(self, *, replay: bool = False) -> AmqpOutbox:
        declare = partial(self.topology.declare_raw, replay=replay)
        key = partial(_raw_key, self.topology, replay=replay)
        outbox = AmqpOutbox(self._own_link("raw"), declare, key, persistent=True, mandatory=True)
        self._outboxes.append(outbox)
        return outbox

    def beside_outbox(self) -> AmqpOutbox:
        declare, key = self.topology.declare_raw_exchange, partial(_beside_key, self.topology)
        outbox = AmqpOutbox(self._own_link("raw beside"), declare, key, persistent=True, mandatory=False)
        self._outboxes.append(outbox)
        return outbox

    def parsed_outbox(self) -> AmqpOutbox:
        declare = self.topology.declare_parsed
        outbox = AmqpOutbox(self._own_link("parsed"), declare, _parsed_key, persistent=False, mandatory=False)
        self._outboxes.append(outbox)
        return outbox

    async def publish_raw(self, messages: Sequence[Outgoing], *, replay: bool = False) -> None:
        if self._replay_outbox is None:
            self._replay_outbox = self.raw_outbox(replay=replay)
        await put_all(self._replay_outbox, messages)

    def consume_raw(self, partition: int, *, replay: bool = False) -> AmqpSubscription:
        async def declare(channel: AbstractChannel) -> AbstractQueue:
            exchange = await self.topology.declare_raw(channel, replay=replay)
            return await self.topology.declare_raw_queue(channel, exchange, partition, replay=replay)

        return self._subscribe(declare, prefetch=RAW_PREFETCH)

    def follow_raw(self, name: str, on_bound: Callable[[], None]) -> AmqpSubscription:
        """On a connection of its own: what RAW a reader is slow with is in nobody's way."""

        async def declare(channel: AbstractChannel) -> AbstractQueue:
            queue = await self.topology.declare_raw_copy(channel, f"{name}.{time.time_ns():x}")
            on_bound()
            return queue

        subscription = AmqpSubscription(
            self._own_link(f"raw copy {name}"), declare, prefetch=RAW_COPY_PREFETCH, owns_link=True
        )
        # Readers come and go: who has left is forgotten.
        self._subscriptions = [*(one for one in self._subscriptions if not one.closed), subscription]
        return subscription

    def consume_parsed(self, name: str, on_reconnect: Callable[[], None] | None = None) -> AmqpSubscription:
        unique = f"{name}.{time.time_ns():x}"
        declare = partial(self.topology.declare_parsed_queue, name=unique)
        return self._subscribe(declare, prefetch=PARSED_PREFETCH, on_reconnect=on_reconnect)

    async def refetch_parsed(self, since_ns: int) -> AsyncIterator[Delivery]:
        """Live PARSED messages published at or after `since_ns` (about: by stream chunk), up to now, in order.

        "Now" is a mark that is written to the stream: a broker that has just come back may be silent for seconds, so
        that silence says nothing about the end.
        """
        since = _timestamp(since_ns)
        async with aclosing(self._stream(self.topology.stream, self.topology.declare_parsed, since)) as messages:
            async for message in messages:
                yield message

    async def dead_letters(self) -> AsyncIterator[bytes]:
        """The dead letters that are kept, oldest first."""
        async with aclosing(self._stream(self.topology.dead, self.topology.declare_dead, "first")) as messages:
            async for message in messages:
                yield message.body

    async def _stream(
        self, name: str, declare: Callable[[AbstractChannel], Awaitable[object]], offset: datetime | str
    ) -> AsyncGenerator[Delivery, None]:
        """The messages of a stream queue from `offset` to now; their tags and generations mean nothing."""
        # Without a bound of its own: the broker sends at most the prefetch ahead.
        arrived: asyncio.Queue[Delivery] = asyncio.Queue()

        def receive(tag: int, headers: Headers, body: bytes) -> None:
            arrived.put_nowait(Delivery(body, headers, 0, tag))

        channel = await self._consuming.channel()
        with broken_is_down(f"{self._consuming.name}: reading {name}"):
            try:
                async with asyncio.timeout(CALL_S_MAX):
                    await channel.set_qos(prefetch_count=STREAM_PREFETCH)
                    await declare(channel)
                    await channel.declare_queue(name, passive=True)
                    await consume_tapped(channel, name, receive, arguments={"x-stream-offset": offset})
                wire = await channel.get_underlay_channel()
                mark = f"{id(arrived):x}.{time.time_ns():x}"
                await self._mark_stream(name, mark)
                while True:
                    if arrived.empty():
                        message = await asyncio.wait_for(arrived.get(), REFETCH_IDLE_S_MAX)
                    else:
                        message = arrived.get_nowait()
                    if message.tag % STREAM_ACK_EVERY == 0:  # room for more
                        await asyncio.wait_for(wire.basic_ack(message.tag, multiple=True), REFETCH_IDLE_S_MAX)
                    if message.headers.get(MARK) == mark:
                        return
                    if MARK not in message.headers:
                        yield message
            except TimeoutError:
                # A broker that recovers may answer nothing more on this connection.
                await self._consuming.drop_with(channel)
                raise
            finally:
                await _close(channel)

    async def _mark_stream(self, name: str, mark: str) -> None:
        channel = await self._publishing.channel(confirms=True)
        try:
            message = Message(b"", headers={MARK: mark}, delivery_mode=DeliveryMode.NOT_PERSISTENT)
            await channel.default_exchange.publish(message, name, timeout=REFETCH_IDLE_S_MAX)
        finally:
            await _close(channel)

    def dead_outbox(self) -> AmqpOutbox:
        async def declare(channel: AbstractChannel) -> AbstractExchange:
            await self.topology.declare_dead(channel)
            return channel.default_exchange

        outbox = AmqpOutbox(self._own_link("dead"), declare, self._dead_key, persistent=True, mandatory=True)
        self._outboxes.append(outbox)
        return outbox

    def _dead_key(self, _message: Outgoing) -> str:
        return self.topology.dead

    async def retain(self, key: str, body: bytes) -> None:
        channel = await self._publishing.channel(confirms=True)
        with broken_is_down(f"retain {key}"):
            try:
                async with asyncio.timeout(CALL_S_MAX):
                    queue = await self.topology.declare_retained(channel, key)
                    message = Message(body, delivery_mode=DeliveryMode.PERSISTENT)
                    await channel.default_exchange.publish(message, queue.name)
            finally:
                await _close(channel)

    async def retained(self, key: str) -> bytes | None:
        channel = await self._publishing.channel()
        with broken_is_down(f"retained {key}"):
            try:
                async with asyncio.timeout(CALL_S_MAX):
                    queue = await self.topology.declare_retained(channel, key)
                    message = await queue.get(no_ack=False)
                    await message.nack(requeue=True)
            except QueueEmpty:
                return None
            finally:
                await _close(channel)
            return message.body

    def _own_link(self, purpose: str) -> Link:
        """An outbox owns its connection: its reconnects do not disturb another's window."""
        return Link(self._publishing.url, f"{self.topology.prefix} {purpose}", self.counts)

    def _subscribe(
        self,
        declare: Callable[[AbstractChannel], object],
        *,
        prefetch: int,
        on_reconnect: Callable[[], None] | None = None,
    ) -> AmqpSubscription:
        subscription = AmqpSubscription(
            self._consuming,
            declare,  # type: ignore[arg-type]
            prefetch=prefetch,
            on_reconnect=on_reconnect,
        )
        self._subscriptions.append(subscription)
        return subscription


async def _close(channel: AbstractChannel) -> None:
    if not channel.is_closed:
        await asyncio.wait_for(channel.close(), CALL_S_MAX)


def _raw_key(topology: Topology, message: Outgoing, *, replay: bool) -> str:
    return topology.raw_key(message.partition, replay=replay)


def _beside_key(topology: Topology, message: Outgoing) -> str:
    return topology.beside_key(message.partition)


def _parsed_key(message: Outgoing) -> str:
    """`live.<partition>` or `replay.<partition>`."""
    origin = str(message.headers["origin"]).split(":", 1)[0]
    return f"{origin}.{message.partition}"


def _timestamp(since_ns: int) -> datetime:
    return datetime.fromtimestamp(since_ns / 1e9, UTC)
