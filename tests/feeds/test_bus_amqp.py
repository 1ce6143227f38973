"""What only a broker does: dead letters in a queue, the PARSED stream, one active reader, life after a crash."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aio_pika

from testbed.rabbitmq import PrivateRabbitMQ
from tests.feeds.buses import Site, nothing_comes, number, numbered, take, until
from tests.feeds.test_bus_bounds import first_seen


async def test_dead_letters_are_kept(rabbitmq: PrivateRabbitMQ, tmp_path: Path) -> None:
    site = Site(rabbitmq.url, tmp_path)
    async with site.bus() as bus:
        outbox = bus.dead_outbox()
        for message in numbered(3):
            await outbox.put(message)
        await outbox.drained()
    async with site.bus() as bus:
        for _ in range(2):  # reading takes none away
            assert [text async for text in bus.dead_letters()] == [message.body for message in numbered(3)]


async def test_memory_keeps_dead_letters_in_files(tmp_path: Path) -> None:
    async with Site("", tmp_path).bus() as bus:
        outbox = bus.dead_outbox()
        for message in numbered(3):
            await outbox.put(message)
    async with Site("", tmp_path).bus() as bus:
        assert [text async for text in bus.dead_letters()] == [b"00000", b"00001", b"00002"]


async def test_refetch_from_the_stream(rabbitmq: PrivateRabbitMQ, tmp_path: Path) -> None:
    """A reader that came too late finds it all in the stream, live only, in order."""
    began = time.time_ns()
    async with Site(rabbitmq.url, tmp_path).bus() as bus:
        outbox = bus.parsed_outbox()
        for message in numbered(100) + numbered(5, first=900, origin="replay:1"):
            await outbox.put(message)
        await outbox.drained()
        fetched = [number(d) async for d in bus.refetch_parsed(began - 1_000_000_000)]
        assert fetched == list(range(100))


async def test_one_active_reader_and_its_successor(rabbitmq: PrivateRabbitMQ, tmp_path: Path) -> None:
    site = Site(rabbitmq.url, tmp_path)
    async with site.bus() as one, site.bus() as two:
        outbox, active = one.raw_outbox(), one.consume_raw(0)
        await outbox.put(numbered(1)[0])
        (first,) = await take(active, 1)
        waiting = two.consume_raw(0)
        for message in numbered(9, first=1):
            await outbox.put(message)
        rest = await take(active, 9)
        assert await nothing_comes(waiting)
        active.ack(rest[2])
        await active.close()
        assert [number(d) for d in await take(waiting, 6)] == [4, 5, 6, 7, 8, 9]
        assert number(first) == 0


async def test_a_deleted_queue_is_made_again(rabbitmq: PrivateRabbitMQ, tmp_path: Path) -> None:
    """F11: at the next connection everything is declared; what the outbox holds arrives."""
    site = Site(rabbitmq.url, tmp_path)
    async with site.bus() as bus:
        outbox, reader = bus.raw_outbox(), bus.consume_raw(0)
        await outbox.put(numbered(1)[0])
        reader.ack((await take(reader, 1))[0])
        await outbox.drained()
        async with await aio_pika.connect(rabbitmq.url) as connection:
            channel = await connection.channel()
            await channel.queue_delete(f"{site.prefix}.raw.live.0")
        for message in numbered(20, first=1):
            await outbox.put(message)
        await outbox.drained()
        assert first_seen([0, *[number(d) for d in await take(reader, 20)]]) == list(range(21))


async def test_broker_killed_while_publishing(rabbitmq: PrivateRabbitMQ, tmp_path: Path) -> None:
    """F06: nothing lost; a repeat never comes before its predecessor was offered."""
    count = 1_000
    numbers: list[int] = []
    async with Site(rabbitmq.url, tmp_path).bus() as bus:
        outbox, reader = bus.raw_outbox(), bus.consume_raw(0)

        async def read() -> None:
            async for delivery in reader:
                numbers.append(number(delivery))
                reader.ack(delivery)

        async def publish() -> None:
            for message in numbered(count, size=200):
                await outbox.put(message)
                await asyncio.sleep(0.001)

        reading, publishing = asyncio.create_task(read()), asyncio.create_task(publish())
        await until(lambda: len(numbers) > 100)
        rabbitmq.kill()
        await asyncio.to_thread(rabbitmq.start)
        await publishing
        await outbox.drained()
        await until(lambda: bool(numbers) and max(numbers) == count - 1)
        reading.cancel()
        assert first_seen(numbers) == list(range(count))
        assert (bus.counts.reconnects > 0, outbox.backlog_bytes) == (True, 0)


async def test_retained_survives_a_crash_of_the_broker(rabbitmq: PrivateRabbitMQ, tmp_path: Path) -> None:
    site = Site(rabbitmq.url, tmp_path)
    async with site.bus() as bus:
        await bus.retain("k", b"older")
        # As a parser's: the queue is there for a while. The broker writes the log of its declarations behind by a
        # timer, so a queue of the last moment may be gone after SIGKILL with what was confirmed in it (seen once).
        await asyncio.sleep(2.0)
        await bus.retain("k", b"kept")
    rabbitmq.kill()
    await asyncio.to_thread(rabbitmq.start)
    async with site.bus() as bus:
        assert await bus.retained("k") == b"kept"
