"""Subscriptions of one program that want the same stream: the server sends it once, each gets all of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mdds_client import AsyncClient, BadParam, NotEntitled, Subscription
from mdds_client.testing import FakeGateway, FakeSession


def depth(n: int, symbol: str = "FPT", **members: Any) -> dict[str, Any]:
    return {"ch": "depth", "s": symbol, "n": n, "ep": "e1", "bd": "G1", "mt": "X", "b": [[n, 1]], "a": [], **members}


async def numbers_of(subscription: Subscription, count: int) -> list[int]:
    taken: list[int] = []
    async with asyncio.timeout(5):
        while len(taken) < count:
            taken += [record.n for record in await subscription.batch()]
    return taken


async def test_a_second_subscription_starts_with_the_last_images_and_asks_nothing_twice() -> None:
    go = asyncio.Event()

    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(depth(1), depth(2), depth(1, "VNM"), depth(3, bd="G4"))
        await session.grant()
        await go.wait()
        await session.records(depth(4))
        await session.serve()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        both = await client.subscribe("depth", ["FPT", "VNM"])
        assert await numbers_of(both, 4) == [1, 2, 1, 3]
        more = await client.subscribe("depth", ["FPT", "ACB"])
        assert await numbers_of(more, 2) == [2, 3]
        book = await client.book("FPT", channel="depth")
        go.set()
        assert await numbers_of(more, 1) == await numbers_of(both, 1) == [4]
        async with asyncio.timeout(5):
            async for changed in book:
                if changed.bids == ((4, 1),):
                    break
        assert more.ok == (("depth", "FPT"), ("depth", "ACB"))
        await both.unsubscribe()
        await more.unsubscribe()
        await book.close()
    assert [operation.get("symbols", operation.get("sid")) for operation in gateway.operations] == [
        ["FPT", "VNM"],
        ["ACB"],
        2,
        1,
    ]


async def test_a_wildcard_serves_later_names_and_a_reconnect_asks_once() -> None:
    async def first(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(depth(1))
        await session.receive("ping")
        await session.close(4000, retry_after_ms=1)

    async def second(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(depth(1), depth(2))
        await session.serve()

    async with FakeGateway(first, second) as gateway, AsyncClient(gateway.url) as client:
        everything = await client.subscribe("depth", "*")
        one = await client.subscribe("depth", "FPT", snapshot=False)
        pinging = asyncio.create_task(client.ping())
        assert await numbers_of(everything, 2) == [1, 2]
        assert await numbers_of(one, 1)
        await asyncio.wait({pinging})
        assert pinging.exception() is not None
    assert [operation["op"] for operation in gateway.operations] == ["sub", "ping", "sub"]


async def test_another_depth_of_the_same_stream_is_not_silently_the_first_ones() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        refused = {"s": "FPT", "code": "BAD_PARAM", "msg": "sid 1 follows it already; unsub that first"}
        await session.grant(sid=None, ok=[], granted=None, errors=[refused])
        await session.serve()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        await client.subscribe("depth", "FPT", depth=1)
        with pytest.raises(BadParam, match="depth FPT: sid 1 follows it already"):
            await client.subscribe("depth", "FPT", depth=10)


async def test_rights_taken_away_end_what_they_carried_and_nothing_else() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(sid=5)
        await session.grant(sid=6)
        await session.records(depth(1), depth(1, "VNM"))
        pinged = await session.receive("ping")
        await session.send({"t": "pong", "id": pinged["id"]})
        for sid, symbol in ((5, "FPT"), (6, "VNM")):
            await session.send(
                {
                    "t": "notice",
                    "code": "NOT_ENTITLED",
                    "sid": sid,
                    "ch": "depth",
                    "s": symbol,
                    "action": "unsubscribed",
                }
            )
        await session.records(depth(1, "ACB"))
        await session.serve()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        two = await client.subscribe("depth", ["FPT", "ACB"])
        one = await client.subscribe("depth", "VNM")
        await client.ping()
        async with asyncio.timeout(5):
            assert [record.symbol for record in await one.batch()] == ["VNM"]
            with pytest.raises(NotEntitled, match="depth VNM was ended"):
                await one.batch()
        assert await numbers_of(two, 2) == [1, 1]
        assert two.ok == (("depth", "ACB"),)
        assert [str(error) for error in two.errors] == ["depth FPT: NOT_ENTITLED"]
