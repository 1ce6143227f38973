"""What a client asks beside its streams: `set`, replays, the REST interface, data frames, the msgpack encoding."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from mdds_client import (
    AsyncClient,
    BadParam,
    Client,
    ConnectionFailed,
    Depth,
    NotEntitled,
    RateLimit,
    ReplayAgedOut,
    Rest,
    Trade,
    best_levels,
    to_dataframe,
)
from mdds_client.replays import moment
from mdds_client.settings import api_url, client_settings
from mdds_client.testing import FakeGateway, FakeSession

TRADE = {"ch": "trade", "s": "FPT", "ep": "e1", "bd": "G1", "mt": "X", "p": 98500.5, "v": 100}
REPLAY = {"job": "replay:12"}


def trade(n: int, **members: Any) -> dict[str, Any]:
    return {**TRADE, "n": n, **members}


async def test_set_changes_a_subscription_and_what_a_reconnect_asks_for() -> None:
    async def first(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(sid=6)
        asked = await session.receive("set")
        await session.send({"t": "set", "id": asked["id"], "sid": 6, "granted": {"conflate_ms": 250}})
        await session.close(4000, retry_after_ms=1)

    async def second(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(trade(1))
        await session.serve()

    async with FakeGateway(first, second) as gateway, AsyncClient(gateway.url) as client:
        subscription = await client.subscribe("trade", "FPT", boards=["G1"], fields="lean")
        await subscription.set(conflate_ms=250)
        async with asyncio.timeout(5):
            await subscription.batch()
    assert gateway.operations[0] == {
        "op": "sub", "ch": "trade", "symbols": ["FPT"], "snapshot": True, "boards": ["G1"], "fields": "lean",
    }  # fmt: skip
    assert gateway.operations[1] == {"op": "set", "sid": 6, "conflate_ms": 250}
    assert gateway.operations[2] == {**gateway.operations[0], "conflate_ms": 250}


async def test_a_replay_is_its_records_and_obeys() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        asked = await session.receive("replay")
        await session.send({"t": "replay", "id": asked["id"], "sid": 31, "job": "replay:12"})
        await session.records(trade(1, **REPLAY), trade(1), trade(2, **REPLAY))
        for _ in range(4):
            control = await session.receive("ctl")
            await session.send({"t": "ctl", "id": control["id"], "sid": 31, "do": control["do"]})
        await session.serve()

    start = datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        replay = await client.replay("trade", ["FPT"], start=start, end="2026-11-20T10:00:00+00:00", speed=10)
        async with asyncio.timeout(5):
            assert [(await anext(replay)).n for _ in range(2)] == [1, 2]
            await replay.pause()
            assert replay.paused
            await replay.seek("2026-11-20T09:30:00Z")
            await replay.resume()
            await replay.cancel()
            assert [record async for record in replay] == []
    assert gateway.operations[0] == {
        "op": "replay", "ch": "trade", "symbols": ["FPT"], "start": "2026-11-20T09:15:00Z",
        "end": "2026-11-20T10:00:00Z", "speed": 10,
    }  # fmt: skip
    assert [(one["do"], one.get("to")) for one in gateway.operations[1:]] == [
        ("pause", None), ("seek", "2026-11-20T09:30:00Z"), ("resume", None), ("cancel", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "end",
    [
        {"t": "state", "sid": 31, "state": "closed"},
        {"t": "notice", "code": "REPLAY_END", "sid": 31},
        {"t": "replay", "sid": 31, "state": "finished"},
    ],
)
@pytest.mark.parametrize("then", [None, "live"])
async def test_a_replay_ends_or_goes_on_live(end: dict[str, Any], then: Any) -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        asked = await session.receive("replay")
        await session.send({"t": "replay", "id": asked["id"], "sid": 31, "job": "replay:12"})
        await session.records(trade(1, **REPLAY), trade(2, **REPLAY))
        await session.send(end)
        if then == "live":
            await session.records(trade(700), trade(701))
        await session.serve()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        replay = await client.replay("trade", "FPT", start="2026-11-20T02", end="2026-11-20T03", then=then)
        async with asyncio.timeout(5):
            if then is None:
                assert [record.n async for record in replay] == [1, 2]
            else:
                assert [(await anext(replay)).n for _ in range(4)] == [1, 2, 700, 701]
                assert replay.live


async def test_a_failed_replay_raises_and_a_lost_connection_follows_it_by_its_origin() -> None:
    async def first(session: FakeSession) -> None:
        await session.welcome()
        asked = await session.receive("replay")
        await session.send({"t": "replay", "id": asked["id"], "sid": 31, "job": "replay:12"})
        await session.records(trade(1, **REPLAY))
        await session.close(4000, retry_after_ms=1)

    async def second(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(sid=4)
        await session.records(trade(2, **REPLAY))
        await session.send(
            {"t": "notice", "code": "REPLAY_FAILED", "sid": 4, "error": "REPLAY_AGED_OUT", "msg": "gone"}
        )
        await session.serve()

    async with FakeGateway(first, second) as gateway, AsyncClient(gateway.url) as client:
        replay = await client.replay("trade", "FPT", start="2026-11-20T02", end="2026-11-20T03")
        async with asyncio.timeout(5):
            assert [(await anext(replay)).n for _ in range(2)] == [1, 2]
            with pytest.raises(ReplayAgedOut, match="gone"):
                await anext(replay)
    assert gateway.operations[1] == {
        "op": "sub", "ch": "trade", "symbols": ["FPT"], "snapshot": False, "origin": "replay:12",
        "resume": {"FPT": ["e1", 1]},
    }  # fmt: skip


async def test_wrong_replays_are_refused_before_they_are_sent() -> None:
    async with FakeGateway() as gateway, AsyncClient(gateway.url) as client:
        with pytest.raises(BadParam, match="start: expected an ISO time"):
            await client.replay("trade", "FPT", start="yesterday", end="2026-11-20T10:00:00Z")
        with pytest.raises(BadParam, match="speed: expected 0"):
            await client.replay("trade", "FPT", start="2026-11-20", end="2026-11-21", speed=-1)
    assert gateway.operations == []


def test_moments_are_utc() -> None:
    assert moment("start", "2026-11-20T09:15:00+07:00") == "2026-11-20T02:15:00Z"
    assert moment("start", datetime(2026, 11, 20, 2, 15, 0, 5000, tzinfo=UTC)) == "2026-11-20T02:15:00.005Z"
    assert moment("start", "2026-11-20T02:15") == "2026-11-20T02:15:00Z"


# ------------------------------------------------------------------------------------------------- REST
SNAPSHOT = {
    "channel": "depth", "symbol": "FPT", "granted": {"timeliness": "realtime"},
    "records": [{"ch": "depth", "s": "FPT", "n": 7, "ep": "e1", "bd": "G1", "b": [[98500.0, 1200]], "a": []}],
}  # fmt: skip


async def test_a_snapshot_is_typed_records() -> None:
    async with FakeGateway(rest={"snapshot/depth/FPT?depth=5": SNAPSHOT}) as gateway:
        client = AsyncClient(gateway.url, "mdds_live_k")
        (record,) = await client.snapshot("depth", "FPT", depth=5)
    assert isinstance(record, Depth)
    assert (record.n, record.bids) == (7, ((98500.0, 1200),))
    assert (gateway.requests, gateway.keys) == (["snapshot/depth/FPT?depth=5"], ["Bearer mdds_live_k"])


async def test_the_synchronous_client_asks_too_connected_or_not() -> None:
    async with FakeGateway(rest={"snapshot/depth/a%2Fb": SNAPSHOT}) as gateway:

        def ask() -> list[int]:
            unconnected = Client(gateway.url).snapshot("depth", "a/b")
            with Client(gateway.url) as client:
                return [record.n for record in unconnected + client.snapshot("depth", "a/b")]

        assert await asyncio.to_thread(ask) == [7, 7]


async def test_pages_follow_their_cursor() -> None:
    pages = {
        "instruments?market=STO": {"instruments": [{"symbol": "ACB"}], "next": "c1"},
        "instruments?market=STO&cursor=c1": {"instruments": [{"symbol": "FPT"}], "next": None},
    }
    async with FakeGateway(rest=pages) as gateway:
        rest = Rest(client_settings(gateway.url, None, options={}))
        found = [row["symbol"] async for row in rest.pages("instruments", "instruments", market="STO")]
    assert found == ["ACB", "FPT"]


@pytest.mark.parametrize(
    ("status", "code", "error"), [(403, "NOT_ENTITLED", NotEntitled), (429, "RATE_LIMIT", RateLimit)]
)
async def test_refusals_are_the_streams_errors(status: int, code: str, error: type[Exception]) -> None:
    refusal = (status, {"t": "error", "code": code, "msg": "no"})
    async with FakeGateway(rest={"usage": refusal}) as gateway:
        rest = Rest(client_settings(gateway.url, None, options={}))
        with pytest.raises(error, match="no"):
            await rest.get("usage")
    with pytest.raises(ConnectionFailed, match="no answer from"):
        await rest.get("usage")


def test_the_rest_address_follows_the_stream_or_is_given() -> None:
    def address(url: str, **environment: str) -> str:
        return api_url(client_settings(url, None, options={}, environment=environment))

    assert address("wss://example.org/stream/v1") == "https://example.org/api/v1"
    assert address("ws://127.0.0.1:8000/stream/v1") == "http://127.0.0.1:8000/api/v1"
    assert address("ws://h:8001/s", MDDS_API_URL="http://h:8000/api/v1/") == "http://h:8000/api/v1"


# --------------------------------------------------------------------------------------------- encoding
async def test_msgpack_carries_the_same_records() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(trade(1, name="Công ty"), {"no": "record"}, trade(2))
        await session.frame("[]")
        await session.frame(b"\xc1")
        await session.records(trade(3))
        await session.serve()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url, encoding="msgpack") as client:
        subscription = await client.subscribe("trade", "FPT")
        async with asyncio.timeout(5):
            first, *others = [await anext(subscription) for _ in range(3)]
    assert isinstance(first, Trade)
    assert (first.price, first["name"], [one.n for one in others]) == (98500.5, "Công ty", [2, 3])
    assert first.text == (
        '{"ch":"trade","s":"FPT","ep":"e1","bd":"G1","mt":"X","p":98500.5,"v":100,"n":1,"name":"Công ty"}'
    )
    assert isinstance(first.raw, bytes)


def test_wrong_encodings_are_refused() -> None:
    with pytest.raises(BadParam, match="encoding: expected one of json, msgpack"):
        AsyncClient("ws://h/s", encoding="xml")  # type: ignore[arg-type]
    with pytest.raises(BadParam, match="exact: msgpack carries floats"):
        AsyncClient("ws://h/s", encoding="msgpack", exact=True)


# ------------------------------------------------------------------------------------------- data frames
def test_records_become_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    rows = [trade(n, ts="2026-11-20T02:15:00.123Z", rx=1_795_140_900_001_000_000 + n) for n in (1, 2)]
    frame = to_dataframe(Trade(row, "") for row in rows)
    assert list(frame["n"]) == [1, 2]
    assert frame["ts"][0] == pandas.Timestamp("2026-11-20T02:15:00.123Z")
    assert frame["rx"][1].value == rows[1]["rx"]
    assert frame["p"].sum() == 197001.0


def test_levels_become_columns() -> None:
    record = Depth({"ch": "depth", "s": "FPT", "n": 1, "ep": "e", "b": [[5, 1], [4, 2]], "a": [[6, 3]]}, "")
    assert best_levels(record, levels=2) == {
        "ch": "depth", "s": "FPT", "n": 1, "ep": "e",
        "bp1": 5, "bq1": 1, "ap1": 6, "aq1": 3, "bp2": 4, "bq2": 2, "ap2": None, "aq2": None,
    }  # fmt: skip
