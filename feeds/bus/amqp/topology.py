"""Declares the exchanges and queues. Every queue has a bound; the line that sets it says what happens at it.

Queues are declared, never merely looked up: a deleted one is made again at the next connection.
"""

from __future__ import annotations

from dataclasses import dataclass

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractQueue

from feeds.bus.base import (
    DEAD_BYTES_MAX,
    DEAD_DAYS_MAX,
    PARSED_QUEUE_BYTES_MAX,
    RAW_FOLLOWED_BYTES_MAX,
    RAW_QUEUE_BYTES_MAX,
)

STREAM_BYTES_MAX = 2 << 30
STREAM_SEGMENT_BYTES = 64 << 20
DEAD_SEGMENT_BYTES = 4 << 20
RETAINED_BYTES_MAX = 64 << 20


@dataclass(frozen=True, slots=True)
class Topology:
    """The names of one system on a broker (`prefix` derives from the base port)."""

    prefix: str
    partitions: int

    @property
    def raw(self) -> str:
        return f"{self.prefix}.raw"

    @property
    def parsed(self) -> str:
        return f"{self.prefix}.parsed"

    @property
    def stream(self) -> str:
        return f"{self.prefix}.parsed.stream"

    @property
    def dead(self) -> str:
        return f"{self.prefix}.dead.stream"

    def raw_key(self, partition: int, *, replay: bool) -> str:
        return f"{'replay' if replay else 'live'}.{partition}"

    def beside_key(self, partition: int) -> str:
        """RAW of a publisher that parsed it itself: no queue of ours is bound, a reader of RAW may bind its own."""
        return f"beside.{partition}"

    async def declare_raw_exchange(self, channel: AbstractChannel) -> AbstractExchange:
        """RAW by routing key."""
        return await channel.declare_exchange(self.raw, ExchangeType.DIRECT, durable=True)

    async def declare_raw(self, channel: AbstractChannel, *, replay: bool) -> AbstractExchange:
        """The RAW exchange with all queues of the origin, so that nothing published is unroutable."""
        exchange = await self.declare_raw_exchange(channel)
        for partition in range(self.partitions):
            await self.declare_raw_queue(channel, exchange, partition, replay=replay)
        return exchange

    async def declare_raw_queue(
        self, channel: AbstractChannel, exchange: AbstractExchange, partition: int, *, replay: bool
    ) -> AbstractQueue:
        key = self.raw_key(partition, replay=replay)
        queue = await channel.declare_queue(
            f"{self.raw}.{key}",
            durable=True,
            arguments={
                "x-queue-version": 2,
                "x-single-active-consumer": True,
                # At the bound the broker refuses (reject-publish); the journal keeps what it refused.
                "x-max-length-bytes": RAW_QUEUE_BYTES_MAX,
                "x-overflow": "reject-publish",
            },
        )
        await queue.bind(exchange, key)
        return queue

    async def declare_raw_copy(self, channel: AbstractChannel, name: str) -> AbstractQueue:
        """A reader's own copy of all RAW, whoever parses it; it dies with its reader."""
        exchange = await self.declare_raw_exchange(channel)
        queue = await channel.declare_queue(
            f"{self.raw}.copy.{name}",
            exclusive=True,
            auto_delete=True,
            # At the bound the oldest go (drop-head): the publishers' message numbers show which.
            arguments={"x-max-length-bytes": RAW_FOLLOWED_BYTES_MAX, "x-overflow": "drop-head", "x-queue-version": 2},
        )
        for partition in range(self.partitions):
            for replay in (False, True):
                await queue.bind(exchange, self.raw_key(partition, replay=replay))
            await queue.bind(exchange, self.beside_key(partition))
        return queue

    async def declare_parsed(self, channel: AbstractChannel) -> AbstractExchange:
        """The PARSED exchange and its stream queue (late and third-party consumers, refetch after a loss)."""
        exchange = await channel.declare_exchange(self.parsed, ExchangeType.TOPIC, durable=True)
        stream = await channel.declare_queue(
            self.stream,
            durable=True,
            arguments={
                "x-queue-type": "stream",
                "x-max-length-bytes": STREAM_BYTES_MAX,  # at the bound the oldest segment goes (retention)
                "x-stream-max-segment-size-bytes": STREAM_SEGMENT_BYTES,
            },
        )
        await stream.bind(exchange, "live.#")
        return exchange

    async def declare_parsed_queue(self, channel: AbstractChannel, name: str) -> AbstractQueue:
        """One gateway's own queue; it dies with the connection and the stream queue fills what it missed."""
        exchange = await self.declare_parsed(channel)
        queue = await channel.declare_queue(
            f"{self.parsed}.{name}",
            exclusive=True,
            auto_delete=True,
            # At the bound the oldest go (drop-head): the first/last headers show which.
            arguments={"x-max-length-bytes": PARSED_QUEUE_BYTES_MAX, "x-overflow": "drop-head", "x-queue-version": 2},
        )
        await queue.bind(exchange, "#")
        return queue

    async def declare_dead(self, channel: AbstractChannel) -> AbstractQueue:
        """A stream: reading dead letters takes none away."""
        return await channel.declare_queue(
            self.dead,
            durable=True,
            arguments={
                "x-queue-type": "stream",
                # At either bound the oldest segment goes; the count of the letters stays in the parser's metrics.
                "x-max-length-bytes": DEAD_BYTES_MAX,
                "x-max-age": f"{DEAD_DAYS_MAX}D",
                "x-stream-max-segment-size-bytes": DEAD_SEGMENT_BYTES,
            },
        )

    async def declare_retained(self, channel: AbstractChannel, key: str) -> AbstractQueue:
        return await channel.declare_queue(
            f"{self.prefix}.state.{key}",
            durable=True,
            # One value: a newer one drops the older.
            arguments={
                "x-max-length": 1,
                "x-max-length-bytes": RETAINED_BYTES_MAX,
                "x-overflow": "drop-head",
                "x-queue-version": 2,
            },
        )
