"""What both buses promise: order, confirms, redelivery of what was not acknowledged, retained values."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from feeds.bus.base import Subscription
from tests.feeds.buses import Site, nothing_comes, number, numbered, take, until


@pytest.fixture(params=["memory", "amqp"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(request.getfixturevalue("rabbitmq").url if request.param == "amqp" else "", tmp_path)


async def test_raw_in_order_with_headers_and_confirms(site: Site) -> None:
    confirmed: list[int] = []
    async with site.bus() as bus:
        outbox, reader = bus.raw_outbox(), bus.consume_raw(1)
        for message in numbered(600, partition=1):
            await outbox.put(message, lambda n=int(message.body): confirmed.append(n))
        taken = await take(reader, 600)
        reader.ack(taken[-1])
        await outbox.drained()
        assert [(number(d), d.headers["no"], d.headers["feed"]) for d in taken] == [(n, n, "KRX") for n in range(600)]
        assert (confirmed, outbox.backlog_bytes) == (list(range(600)), 0)
        assert (bus.counts.published, bus.counts.confirmed, bus.counts.resent) == (600, 600, 0)


async def test_what_was_not_acknowledged_comes_again_to_the_next_reader(site: Site) -> None:
    async with site.bus() as bus:
        outbox, first = bus.raw_outbox(), bus.consume_raw(0)
        for message in numbered(10):
            await outbox.put(message)
        taken = await take(first, 6)
        first.ack(taken[3])
        await first.close()
        second = bus.consume_raw(0)
        rest = await take(second, 6)
        assert [number(d) for d in rest] == [4, 5, 6, 7, 8, 9]
        second.ack(rest[-1])
        await outbox.drained()
        await second.close()
        third = bus.consume_raw(0)
        assert await nothing_comes(third)


async def test_an_acknowledgement_covers_every_earlier_delivery(site: Site) -> None:
    async with site.bus() as bus:
        outbox, reader = bus.raw_outbox(), bus.consume_raw(0)
        for message in numbered(5):
            await outbox.put(message)
        taken = await take(reader, 5)
        reader.ack(taken[4])
        reader.ack(taken[1])  # an older one afterwards takes nothing back
        await outbox.drained()
        await reader.close()
        assert await nothing_comes(bus.consume_raw(0))


async def test_partitions_and_replays_are_apart(site: Site) -> None:
    async with site.bus() as bus:
        live, replay = bus.raw_outbox(), bus.raw_outbox(replay=True)
        readers = [bus.consume_raw(p, replay=r) for p, r in ((0, False), (1, False), (0, True), (1, True))]
        for n, (outbox, partition) in enumerate(((live, 0), (live, 1), (replay, 0), (replay, 1))):
            await outbox.put(numbered(1, partition=partition, first=n)[0])
        assert [[number(d) for d in await take(reader, 1)] for reader in readers] == [[0], [1], [2], [3]]


async def test_publish_raw_returns_when_all_are_confirmed(site: Site) -> None:
    async with site.bus() as bus:
        reader = bus.consume_raw(0, replay=True)
        if site.url:
            await bus.publish_raw(numbered(300, origin="replay:1"), replay=True)
            assert bus.counts.confirmed == 300
        else:  # memory confirms when the reader acknowledges
            publishing = asyncio.create_task(bus.publish_raw(numbered(300, origin="replay:1"), replay=True))
            reader.ack((await take(reader, 300))[-1])
            await publishing
            return
        assert [number(d) for d in await take(reader, 300)] == list(range(300))


async def test_every_parsed_reader_gets_everything_in_order(site: Site) -> None:
    async with site.bus() as bus:
        readers = [bus.consume_parsed(name) for name in ("one", "two")]
        outbox = bus.parsed_outbox()
        if site.url:  # a reader's queue must be there first; what is published before is in the stream
            for reader in readers:
                await until_bound(reader)
        for message in numbered(300) + numbered(50, partition=1, first=300, origin="replay:3"):
            await outbox.put(message)
        await outbox.drained()
        for reader in readers:
            assert [number(d) for d in await take(reader, 350)] == list(range(350))


async def until_bound(reader: Subscription) -> None:
    """The reader's queue is declared and bound: a message put now reaches it."""
    await until(lambda: reader._generation >= 1)  # type: ignore[attr-defined]
    await asyncio.sleep(0.1)


async def test_retained_is_the_last_value_and_survives_the_process(site: Site) -> None:
    async with site.bus() as bus:
        assert await bus.retained("k") is None
        await bus.retain("k", b"one")
        await bus.retain("k", b"two")
        await bus.retain("other", b"x")
        assert [await bus.retained("k"), await bus.retained("k")] == [b"two", b"two"]
    async with site.bus() as bus:
        assert await bus.retained("k") == b"two"
        await bus.retain("k", bytes(range(256)) * 1_000)
        assert await bus.retained("k") == bytes(range(256)) * 1_000
