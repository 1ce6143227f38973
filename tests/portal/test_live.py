"""The live channel: who gets in, what comes first, how often it comes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User

from feeds.models import Feed
from portal import live
from portal.live import StatusConsumer, Ticker
from tests.portal.conftest import beat

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _fast_ticker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "TICK_S", 0.05)
    monkeypatch.setattr(live, "ticker", Ticker(live.board))


def page_of(user: Any) -> WebsocketCommunicator:
    communicator = WebsocketCommunicator(StatusConsumer.as_asgi(), "/portal/live")
    communicator.scope["user"] = user
    return communicator


async def received(page: WebsocketCommunicator) -> dict[str, Any]:
    return json.loads(await page.receive_from(timeout=5))


@pytest.mark.parametrize("name", ["charlie", None])
async def test_who_may_not_see_is_not_let_in(cast: dict[str, User], name: str | None) -> None:
    page = page_of(cast[name] if name else AnonymousUser())
    accepted, code = await page.connect()
    assert (accepted, code) == (False, live.FORBIDDEN)


async def test_history_comes_first_then_a_frame_a_tick(cast: dict[str, User], feed: Feed) -> None:
    await asyncio.to_thread(beat)
    page = page_of(cast["bob"])
    assert (await page.connect())[0]
    kinds = [(await received(page))["t"] for _ in range(4)]
    assert kinds == ["history", "status", "status", "status"]
    await page.disconnect()


async def test_a_frame_has_every_part_of_the_page(cast: dict[str, User], feed: Feed) -> None:
    await asyncio.to_thread(beat)
    page = page_of(cast["bob"])
    await page.connect()
    await received(page)
    frame = await received(page)
    assert set(frame["html"]) == {"summary", "path", "feeds", "workers", "types", "drops", "latency", "sessions"}
    assert "acme" in frame["html"]["sessions"]
    await page.disconnect()


async def test_two_pages_get_the_same_frame(cast: dict[str, User], feed: Feed) -> None:
    pages = [page_of(cast[name]) for name in ("alice", "bob")]
    for page in pages:
        await page.connect()
    for page in pages:
        assert (await received(page))["t"] == "history"
    frames = [[await page.receive_from(timeout=5) for _ in range(4)] for page in pages]
    assert set(frames[0]) & set(frames[1])
    for page in pages:
        await page.disconnect()


async def test_a_role_that_is_taken_away_closes_the_page(
    cast: dict[str, User], feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RIGHTS_TICKS", 1)
    page = page_of(cast["bob"])
    await page.connect()
    await asyncio.to_thread(cast["bob"].groups.clear)
    while (message := await page.receive_output(timeout=5))["type"] != "websocket.close":
        assert message["type"] == "websocket.send"
    assert message["code"] == live.FORBIDDEN
    await page.wait()


async def test_a_database_that_is_away_does_not_end_the_channel(
    cast: dict[str, User], feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_of(cast["bob"])
    await page.connect()
    for _ in range(2):
        await received(page)
    frame, failures = live.board.frame, iter([True, True])

    def away_twice(now: Any) -> str:
        if next(failures, False):
            raise OSError("the database is away")
        return frame(now)

    monkeypatch.setattr(live.board, "frame", away_twice)
    assert (await received(page))["t"] == "status"
    assert next(failures, None) is None
    await page.disconnect()
