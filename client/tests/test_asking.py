"""What becomes of wishes that few have: to take over, an exact depth, a replay to now, a feed that is not there yet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mdds_client import AsyncClient, BadParam, LevelNotEntitled, NotFound
from mdds_client.testing import FakeGateway, FakeSession


async def test_to_take_over_is_said_in_the_address_and_never_without_the_wish() -> None:
    async with FakeGateway() as gateway:
        for takeover in (False, True):
            async with AsyncClient(gateway.url, "key", takeover=takeover):
                pass
        paths = [session.socket.request.path for session in gateway.sessions if session.socket.request is not None]
    assert paths == ["/stream/v1", "/stream/v1?takeover=true"]


async def test_an_exact_depth_is_asked_for_and_refused_by_its_own_error() -> None:
    async def refuses(session: FakeSession) -> None:
        await session.welcome()
        refused = [{"s": "FPT", "code": "LEVEL_NOT_ENTITLED", "msg": "3 levels"}]
        await session.grant(sid=None, ok=[], errors=refused, granted=None, state="closed")
        await session.serve()

    async with FakeGateway(refuses) as gateway, AsyncClient(gateway.url) as client:
        with pytest.raises(LevelNotEntitled):
            await client.subscribe("depth", "FPT", depth=10, exact_depth=True)
        with pytest.raises(BadParam):
            await client.subscribe("depth", "FPT", exact_depth=True)
    assert [(one["depth"], one["exact"]) for one in gateway.operations] == [(10, True)]


async def test_a_replay_without_an_end_goes_to_where_the_server_says() -> None:
    async def plays(session: FakeSession) -> None:
        await session.welcome()
        asked = await session.receive("replay")
        end = "2026-11-20T03:00:00.000Z"
        await session.send({"t": "replay", "id": asked["id"], "sid": 3, "origin": "replay:9", "end": end})
        await session.serve()

    async with FakeGateway(plays) as gateway, AsyncClient(gateway.url) as client:
        replay = await client.replay("depth", "FPT", start="2026-11-20T02:15:00Z", depth=5)
        assert replay.end == "2026-11-20T03:00:00.000Z"
    assert gateway.operations == [
        {"op": "replay", "ch": "depth", "symbols": ["FPT"], "start": "2026-11-20T02:15:00Z", "speed": 1, "depth": 5}
    ]


async def test_a_replay_of_somebody_else_is_not_found() -> None:
    async def refuses(session: FakeSession) -> None:
        await session.welcome()
        asked = await session.receive("sub")
        await session.send({"t": "error", "id": asked["id"], "code": "NOT_FOUND", "fatal": False, "msg": "no replay:7"})
        await session.serve()

    async with FakeGateway(refuses) as gateway, AsyncClient(gateway.url) as client:
        with pytest.raises(NotFound, match="replay:7"):
            await client.subscribe("trade", "FPT", origin="replay:7")


async def test_a_gateway_without_its_feed_yet_is_asked_again_not_given_up() -> None:
    def feed_down(asked: dict[str, Any]) -> dict[str, Any]:
        return {
            "t": "error",
            "id": asked["id"],
            "code": "FEED_DOWN",
            "fatal": False,
            "retry_after_ms": 5,
            "msg": "later",
        }

    async def first(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records({"ch": "trade", "s": "FPT", "n": 1, "ep": "e1"})
        await session.close(4000, code="SHUTDOWN", retry_after_ms=1)

    async def starting(session: FakeSession) -> None:
        await session.welcome()
        for _ in range(8):
            await session.send(feed_down(await session.receive("sub")))
        await session.grant()
        await session.send({"t": "resumed", "sid": 1, "s": "FPT", "from": 2})
        await session.records({"ch": "trade", "s": "FPT", "n": 2, "ep": "e1"})
        await session.serve()

    async with FakeGateway(first, starting) as gateway, AsyncClient(gateway.url) as client:
        subscription = await client.subscribe("trade", "FPT")
        async with asyncio.timeout(5):
            assert [(await anext(subscription)).n for _ in range(2)] == [1, 2]
    assert len(gateway.operations) == 1 + 9
