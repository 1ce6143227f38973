"""Every queue has its bound: RAW refuses and is offered again, PARSED drops its oldest and counts, an outbox waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from feeds.bus import memory
from feeds.bus.amqp import outbox as amqp_outbox
from feeds.bus.amqp import topology
from testbed.rabbitmq import PrivateRabbitMQ
from tests.feeds.buses import Site, number, numbered, take, until


async def test_memory_parsed_drops_the_oldest_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PARSED_QUEUE_BYTES_MAX", 1_000)
    async with Site("", tmp_path).bus() as bus:
        slow, quick = bus.consume_parsed("slow"), bus.consume_parsed("quick")
        outbox = bus.parsed_outbox()
        seen: list[int] = []
        for message in numbered(100, size=95):
            await outbox.put(message)
            seen += [number(d) for d in await take(quick, 1)]
        assert seen == list(range(100))
        assert [number(d) for d in await take(slow, 10)] == list(range(90, 100))
        assert bus.counts.dropped == 90


async def test_a_memory_outbox_waits_at_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "OUTBOX_BYTES_MAX", 500)
    async with Site("", tmp_path).bus() as bus:
        outbox, reader = bus.raw_outbox(), bus.consume_raw(0)
        put: list[int] = []

        async def publish() -> None:
            for message in numbered(20, size=95):
                await outbox.put(message)
                put.append(number_of(message.body))

        publishing = asyncio.create_task(publish())
        taken = await take(reader, 5)
        assert (put, outbox.backlog_bytes) == (list(range(5)), 500)
        reader.ack(taken[1])
        taken += await take(reader, 2)
        assert put == list(range(7))
        reader.ack(taken[-1])
        while len(taken) < 20:
            taken += await take(reader, 1)
            reader.ack(taken[-1])
        await publishing
        assert [number(d) for d in taken] == list(range(20))


def number_of(body: bytes) -> int:
    return int(body[:5])


async def test_amqp_raw_refuses_at_its_bound_and_nothing_is_lost(
    rabbitmq: PrivateRabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F09: reject-publish; the outbox offers again until a reader makes room, in order."""
    monkeypatch.setattr(topology, "RAW_QUEUE_BYTES_MAX", 3_000)
    async with Site(rabbitmq.url, tmp_path).bus() as bus:
        outbox = bus.raw_outbox()
        for message in numbered(200, size=95):
            await outbox.put(message)
        await until(lambda: bus.counts.refused > 0)
        assert outbox.backlog_bytes > 0
        reader = bus.consume_raw(0)
        numbers: list[int] = []
        while not numbers or max(numbers) < 199:
            taken = await take(reader, 1)
            numbers.append(number(taken[0]))
            reader.ack(taken[0])
        await outbox.drained()
        assert first_seen(numbers) == list(range(200))
        assert bus.counts.reasons


async def test_an_amqp_outbox_waits_at_its_bound(
    rabbitmq: PrivateRabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_outbox, "OUTBOX_BYTES_MAX", 500)
    async with Site(rabbitmq.url, tmp_path).bus() as bus:
        outbox, most = bus.raw_outbox(), 0
        for message in numbered(100, size=95):
            await outbox.put(message)
            most = max(most, outbox.backlog_bytes)
        await outbox.drained()
        assert most <= 500
        assert [number(d) for d in await take(bus.consume_raw(0), 100)] == list(range(100))


def first_seen(numbers: list[int]) -> list[int]:
    """Without repeats; fails when a number comes before its predecessor was ever there."""
    seen: list[int] = []
    for n in numbers:
        if n not in seen:
            assert n == len(seen), f"{n} came before {len(seen)}"
            seen.append(n)
    return seen


async def test_memory_refetches_the_newest_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Live only, in order, from the time asked for; at the bound the oldest go."""
    monkeypatch.setattr(memory, "PARSED_KEPT_BYTES_MAX", 1_000)
    async with Site("", tmp_path).bus() as bus:
        outbox = bus.parsed_outbox()
        for message in numbered(15, size=95) + numbered(5, first=900, size=95, origin="replay:1"):
            message.headers["t_pub"] = message.headers["no"]
            await outbox.put(message)
        assert [number(d) async for d in bus.refetch_parsed(0)] == list(range(5, 15))
        assert [number(d) async for d in bus.refetch_parsed(12)] == list(range(12, 15))
