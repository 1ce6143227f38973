"""A program slower than its streams: the bounded queue pushes back on the server, or drops with exact ranges."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mdds_client import AsyncClient, Gap, RequestTimeout
from mdds_client.testing import FakeGateway, FakeSession

FRAMES = 500
PADDING = "x" * 50_000  # 25 MB in all: far more than sockets and queues between the two hold


def trade(n: int, **members: Any) -> dict[str, Any]:
    return {"ch": "trade", "s": "FPT", "n": n, "ep": "e1", "bd": "G1", "mt": "X", "p": 98500, "v": 100, **members}


async def test_a_full_queue_stops_the_reading_so_that_tcp_pushes_back() -> None:
    sent: list[int] = []

    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        for n in range(1, FRAMES + 1):
            await session.records(trade(n, padding=PADDING))
            sent.append(n)

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url, request_timeout_s=0.2) as client:
        subscription = await client.subscribe("trade", ["FPT"], queue_max=10)
        before = -1
        while before != len(sent):
            before = len(sent)
            await asyncio.sleep(0.2)
        assert before < FRAMES
        assert subscription.waiting == 10
        with pytest.raises(RequestTimeout, match=r"nothing is read while the queue of .* is full"):
            await client.ping()
        numbers: list[int] = []
        async with asyncio.timeout(10):
            async for record in subscription:
                numbers.append(record.n)
                if record.n == FRAMES:
                    break
    assert numbers == list(range(1, FRAMES + 1))
    assert subscription.gaps == subscription.dropped == 0


async def test_drop_keeps_the_newest_and_reports_the_range_when_the_program_comes_back() -> None:
    gaps: list[Gap] = []

    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(*[trade(n) for n in range(1, 101)])
        await session.serve()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url, on_gap=gaps.append) as client:
        subscription = await client.subscribe("trade", ["FPT"], queue_max=10, on_slow="drop")
        await client.ping()  # its answer comes after the records: nothing blocked the reading
        assert gaps == []
        records = await subscription.batch()
    assert [record.n for record in records] == list(range(91, 101))
    assert subscription.dropped == 90
    assert gaps == [Gap("trade", "FPT", "e1", 1, 90, "slow")]


async def test_a_paused_program_is_not_mistaken_for_a_silent_server() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome(hb_s=0.05)
        await session.grant()
        await session.records(*[trade(n) for n in range(1, 21)])
        while True:
            await session.send({"t": "hb", "feeds": {}})
            await asyncio.sleep(0.05)

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        subscription = await client.subscribe("trade", ["FPT"], queue_max=5)
        await asyncio.sleep(0.5)
        taken: list[int] = []
        async with asyncio.timeout(5):
            while len(taken) < 20:
                taken += [record.n for record in await subscription.batch()]
        await asyncio.sleep(0.3)
        assert client.reconnects == 0
    assert taken == list(range(1, 21))


async def test_unsubscribing_a_full_subscription_lets_the_others_go_on() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.grant()
        await session.records(*[trade(n) for n in range(1, 21)], {**trade(1), "s": "VNM"})
        await session.serve()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        stuck = await client.subscribe("trade", ["FPT"], queue_max=5)
        other = await client.subscribe("trade", ["VNM"])
        await asyncio.sleep(0.1)
        assert other.waiting == 0
        await stuck.unsubscribe()
        async with asyncio.timeout(5):
            assert [record.symbol for record in await other.batch()] == ["VNM"]
