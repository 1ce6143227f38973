"""A reader of all RAW has a copy of what anybody publishes, from the moment it is bound, and disturbs nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from feeds.bus import memory
from feeds.bus.amqp import AmqpBus
from tests.feeds.buses import WAIT_S, Site, nothing_comes, number, numbered, take


@pytest.fixture(params=["memory", "amqp"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(request.getfixturevalue("rabbitmq").url if request.param == "amqp" else "", tmp_path)


async def test_every_reader_has_a_copy_of_live_beside_and_replayed_messages(site: Site) -> None:
    async with site.bus() as bus:
        parser = bus.consume_raw(0)
        bound = [asyncio.Event(), asyncio.Event()]
        copies = [bus.follow_raw(f"reader{n}", event.set) for n, event in enumerate(bound)]
        async with asyncio.timeout(WAIT_S):
            for event in bound:
                await event.wait()
        live, beside, replay = bus.raw_outbox(), bus.beside_outbox(), bus.raw_outbox(replay=True)
        await live.put(numbered(1, first=1)[0])
        await beside.put(numbered(1, partition=1, first=2)[0])
        await replay.put(numbered(1, partition=1, first=3, origin="replay:7")[0])
        for copy in copies:
            taken = await take(copy, 3)
            copy.ack(taken[-1])
            assert sorted((number(one), one.headers["origin"]) for one in taken) == [
                (1, "live"), (2, "live"), (3, "replay:7"),
            ]  # fmt: skip
        first = await take(parser, 1)
        assert number(first[0]) == 1
        assert await nothing_comes(parser)
        parser.ack(first[0])

        await copies[0].close()  # who has left gets nothing, and the next one begins where it was bound
        await live.put(numbered(1, first=4)[0])
        again = asyncio.Event()
        successor = bus.follow_raw("reader0", again.set)
        async with asyncio.timeout(WAIT_S):
            await again.wait()
        await live.put(numbered(1, first=5)[0])
        assert [number(one) for one in await take(successor, 1)] == [5]
        assert [number(one) for one in await take(copies[1], 2)] == [4, 5]


async def test_a_reader_hears_that_it_was_bound_again(rabbitmq: object, tmp_path: Path) -> None:
    site = Site(rabbitmq.url, tmp_path)  # type: ignore[attr-defined]
    async with site.bus() as bus:
        assert isinstance(bus, AmqpBus)
        times: list[int] = []
        bound = asyncio.Event()

        def on_bound() -> None:
            times.append(len(times))
            bound.set()

        copy = bus.follow_raw("reader", on_bound)
        async with asyncio.timeout(WAIT_S):
            await bound.wait()
            bound.clear()
            await copy._link.drop()  # the connection is lost
            await bound.wait()
        outbox = bus.raw_outbox()
        await outbox.put(numbered(1, first=9)[0])
        assert [number(one) for one in await take(copy, 1)] == [9]
        assert times == [0, 1]


async def test_a_reader_that_does_not_read_loses_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "RAW_FOLLOWED_BYTES_MAX", 1_000)
    async with Site("", tmp_path).bus() as bus:
        copy, outbox = bus.follow_raw("reader", lambda: None), bus.beside_outbox()
        for message in numbered(20, size=95):
            await outbox.put(message)
        assert [number(one) for one in await take(copy, 10)] == list(range(10, 20))
        assert bus.counts.dropped == 10
