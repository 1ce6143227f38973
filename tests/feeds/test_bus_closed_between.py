"""A connection that another of its users closes in the middle of a call: a failure like any, never the end of a task.

aio-pika cancels what waits on a connection that is being closed. To the waiting task that looks as if it were cancelled
itself, and a subscription that took it so was gone for good, without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiormq import Channel

from feeds.bus.amqp import AmqpBus
from feeds.bus.amqp import bus as amqp_bus
from feeds.bus.amqp.link import Link
from feeds.bus.amqp.topology import Topology
from feeds.bus.base import BusDown, Outgoing
from testbed.rabbitmq import PrivateRabbitMQ
from tests.feeds.buses import Site, number, numbered, take

Declare = Callable[..., Awaitable[Any]]


def closing(declare: Declare, link: Link, times: int) -> tuple[Declare, list[int]]:
    """`declare`, with the connection closed under it the first `times` times."""
    calls: list[int] = []

    async def broken(*arguments: Any, **named: Any) -> Any:
        calls.append(len(calls))
        if len(calls) <= times:
            dropping = asyncio.create_task(link.drop())
            try:
                return await declare(*arguments, **named)
            finally:
                await dropping
        return await declare(*arguments, **named)

    return broken, calls


async def test_a_subscription_comes_back(
    rabbitmq: PrivateRabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Site(rabbitmq.url, tmp_path).bus() as bus:
        assert isinstance(bus, AmqpBus)
        declare, calls = closing(Topology.declare_raw_queue, bus._consuming, 3)
        monkeypatch.setattr(Topology, "declare_raw_queue", declare)
        reader, outbox = bus.consume_raw(0), bus.raw_outbox()
        await outbox.put(numbered(1, first=7)[0])
        assert [number(one) for one in await take(reader, 1)] == [7]
        assert len(calls) >= 4


async def test_a_lost_connection_is_opened_once_for_all_its_readers(rabbitmq: PrivateRabbitMQ, tmp_path: Path) -> None:
    """The one that hears of it last does not close what the others have opened meanwhile."""
    async with Site(rabbitmq.url, tmp_path).bus() as bus:
        assert isinstance(bus, AmqpBus)
        link = bus._consuming
        old = await link.channel()
        await link.drop()
        new = await link.channel()
        await link.drop_with(old)
        assert not new.is_closed
        await link.drop_with(new)
        assert new.is_closed


async def test_an_outbox_goes_on(rabbitmq: PrivateRabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Site(rabbitmq.url, tmp_path).bus() as bus:
        assert isinstance(bus, AmqpBus)
        outbox = bus.raw_outbox()
        declare, calls = closing(outbox._declare, outbox._link, 3)
        monkeypatch.setattr(outbox, "_declare", declare)
        for message in numbered(5):
            await outbox.put(message)
        async with asyncio.timeout(20):
            await outbox.drained()
        assert len(calls) >= 4


async def test_a_retained_value_is_down_and_the_task_goes_on(
    rabbitmq: PrivateRabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Site(rabbitmq.url, tmp_path).bus() as bus:
        assert isinstance(bus, AmqpBus)
        await bus.retain("key", b"before")
        declare, _ = closing(Topology.declare_retained, bus._publishing, 2)
        monkeypatch.setattr(Topology, "declare_retained", declare)
        with pytest.raises(BusDown, match="retained key"):
            await bus.retained("key")
        with pytest.raises(BusDown, match="retain key"):
            await bus.retain("key", b"lost")
        assert await bus.retained("key") == b"before"


async def test_a_cancelled_task_is_cancelled(
    rabbitmq: PrivateRabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Site(rabbitmq.url, tmp_path).bus() as bus:
        assert isinstance(bus, AmqpBus)
        waits = asyncio.Event()

        async def never(*_: object) -> None:
            waits.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(Topology, "declare_retained", never)
        asking = asyncio.create_task(bus.retained("key"))
        await waits.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


@pytest.mark.parametrize("call", ["declare", "ack"])
async def test_a_stream_is_not_waited_for_for_ever(
    call: str, rabbitmq: PrivateRabbitMQ, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the broker never answers ends as BusDown, on a connection that is not used again; then it is read."""
    monkeypatch.setattr(amqp_bus, "CALL_S_MAX", 0.5)
    monkeypatch.setattr(amqp_bus, "REFETCH_IDLE_S_MAX", 0.5)
    unanswered = asyncio.Event()

    async def never(*_arguments: Any, **_named: Any) -> None:
        await unanswered.wait()

    async with Site(rabbitmq.url, tmp_path).bus() as bus:
        assert isinstance(bus, AmqpBus)
        outbox = bus.parsed_outbox()
        await outbox.put(Outgoing(0, b"r", {"origin": "live"}))
        await outbox.drained()
        with monkeypatch.context() as broken:
            if call == "declare":
                broken.setattr(Topology, "declare_parsed", never)
            else:
                broken.setattr(amqp_bus, "STREAM_ACK_EVERY", 1)
                broken.setattr(Channel, "basic_ack", never)
            before = await bus._consuming.connect_once()
            with pytest.raises(BusDown, match=r"reading .*TimeoutError"):
                assert [one async for one in bus.refetch_parsed(0)] == []
            assert before.is_closed
        monkeypatch.undo()
        assert [one.body async for one in bus.refetch_parsed(0)] == [b"r"]
