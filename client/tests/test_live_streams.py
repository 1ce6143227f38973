"""Subscribing, records, continuity and unsubscribing, against a gateway that follows a script."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from mdds_client import (
    AsyncClient,
    BadParam,
    ContractEnded,
    Depth,
    Gap,
    Level,
    NotEntitled,
    Record,
    RequestTimeout,
    SymbolUnknown,
    Trade,
)
from mdds_client.testing import FakeGateway, FakeSession


def trade(n: int, *, symbol: str = "FPT", **members: Any) -> dict[str, Any]:
    return {"ch": "trade", "s": symbol, "n": n, "ep": "e1", "bd": "G1", "mt": "X", "p": 98500, "v": 100, **members}


def depth(n: int, **members: Any) -> dict[str, Any]:
    return {
        "ch": "depth",
        "s": "FPT",
        "n": n,
        "ep": "e1",
        "bd": "G1",
        "mt": "X",
        "b": [[98500, 1200], [98400, 300]],
        "a": [[98600, 700]],
        **members,
    }


async def take(subscription: Any, count: int) -> list[Record]:
    """`count` records, or a TimeoutError that fails the test."""
    taken: list[Record] = []
    async with asyncio.timeout(5):
        async for record in subscription:
            taken.append(record)
            if len(taken) == count:
                break
    return taken


async def test_records_arrive_typed_with_unknown_members_and_their_exact_text() -> None:
    text = '{"ch":"trade","s":"FPT","n":7,"ep":"e1","p":98500.10,"v":100,"novel":{"x":[1]}}'

    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.frame(f"[{text}, {text.replace(':7,', ':8,')}]")

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url, "mdds_live_k", exact=True) as client:
        subscription = await client.subscribe("trade", ["FPT"])
        first, second = await take(subscription, 2)
    assert isinstance(first, Trade)
    assert first.text == text
    assert first.price == Decimal("98500.10")
    assert str(first.price) == "98500.10"
    assert (first.symbol, first.n, first.quantity, first["novel"]) == ("FPT", 7, 100, {"x": [1]})
    assert second.n == 8
    assert gateway.sessions[0].authorization == "Bearer mdds_live_k"
    assert gateway.operations[0] == {"op": "sub", "ch": "trade", "symbols": ["FPT"], "snapshot": True}


async def test_numbers_are_floats_unless_exact() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.frame('[{"ch":"depth","s":"FPT","n":1,"ep":"e","b":[[98500.5,100]],"a":[]}]')

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        (image,) = await take(await client.subscribe("depth", "FPT"), 1)
    assert isinstance(image, Depth)
    assert image.bids == (Level(98500.5, 100),)
    assert type(image.bids[0].price) is float
    assert image.offers == ()


async def test_options_reach_the_server_and_the_grant_comes_back() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(granted={"depth": 5, "conflate_ms": 250})

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        subscription = await client.subscribe(
            "depth", ["FPT"], depth=10, snapshot=False, origin="replay:12", conflate_ms=250, on_slow="conflate"
        )
    assert gateway.operations[0] == {
        "op": "sub",
        "ch": "depth",
        "symbols": ["FPT"],
        "depth": 10,
        "snapshot": False,
        "origin": "replay:12",
        "conflate_ms": 250,
        "on_slow": "conflate",
    }
    assert subscription.granted == {"depth": {"depth": 5, "conflate_ms": 250}}


async def test_a_partly_refused_subscription_says_what_it_did_not_get() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(ok=["FPT"], errors=[{"s": "XXX", "code": "SYMBOL_UNKNOWN"}])
        await session.serve()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        subscription = await client.subscribe("trade", ["FPT", "XXX"])
    assert subscription.ok == (("trade", "FPT"),)
    assert [str(error) for error in subscription.errors] == ["trade XXX: SYMBOL_UNKNOWN"]
    assert isinstance(subscription.errors[0].error, SymbolUnknown)


async def test_a_wholly_refused_subscription_raises_and_leaves_nothing_behind() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(sid=None, ok=[], granted=None, errors=[{"s": "XXX", "code": "SYMBOL_UNKNOWN"}])
        message = await session.receive("sub")
        await session.send(
            {"t": "error", "id": message["id"], "code": "NOT_ENTITLED", "fatal": False, "msg": "no product has trade"}
        )
        await session.serve()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        with pytest.raises(SymbolUnknown, match="trade XXX: symbol unknown"):
            await client.subscribe("trade", ["XXX"])
        with pytest.raises(NotEntitled, match="no product has trade") as refused:
            await client.subscribe("trade", ["FPT"])
        assert refused.value.code == "NOT_ENTITLED"
        assert client.subscriptions == ()


async def test_a_hole_is_a_gap_with_its_exact_range_and_a_repeat_is_dropped() -> None:
    gaps: list[Gap] = []

    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(trade(5), trade(6), trade(9), trade(9), trade(8), trade(10))

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url, on_gap=gaps.append) as client:
        subscription = await client.subscribe("trade", ["FPT"])
        records = await take(subscription, 4)
    assert [record.n for record in records] == [5, 6, 9, 10]
    assert gaps == [Gap("trade", "FPT", "e1", 7, 8, "lost")]
    assert (subscription.gaps, subscription.duplicates) == (1, 2)


async def test_skipped_ranges_are_reported_once_as_known() -> None:
    gaps: list[Gap] = []
    notices: list[dict[str, Any]] = []

    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(sid=12)
        await session.records(trade(5), trade(6))
        await session.send({"t": "notice", "code": "SKIPPED", "sid": 12, "s": "FPT", "from": 7, "to": 9})
        await session.records(trade(10), trade(13))

    async with (
        FakeGateway(script) as gateway,
        AsyncClient(gateway.url, on_gap=gaps.append, on_notice=notices.append) as client,
    ):
        records = await take(await client.subscribe("trade", ["FPT"]), 4)
    assert [record.n for record in records] == [5, 6, 10, 13]
    assert gaps == [Gap("trade", "FPT", "e1", 7, 9, "skipped"), Gap("trade", "FPT", "e1", 11, 12, "lost")]
    assert [notice["code"] for notice in notices] == ["SKIPPED"]


async def test_unsubscribe_ends_the_iterator_and_tells_the_server() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(trade(1))
        await session.serve()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        async with await client.subscribe("trade", ["FPT"]) as subscription:
            await take(subscription, 1)
        assert [record async for record in subscription] == []
        assert await client.ping() >= 0
    assert gateway.operations[1:] == [{"op": "unsub", "sid": 1}, {"op": "ping"}]


async def test_callbacks_get_records_in_order_and_one_that_raises_stops_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    numbers: list[int] = []
    done = asyncio.Event()

    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(*[trade(n) for n in range(1, 5)])

    async def callback(record: Record) -> None:
        await asyncio.sleep(0)
        numbers.append(record.n)
        if record.n == 2:
            raise ValueError("a fault of the program")
        if record.n == 4:
            done.set()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        await client.subscribe("trade", ["FPT"], callback=callback)
        await asyncio.wait_for(done.wait(), 5)
    assert numbers == [1, 2, 3, 4]
    assert "a fault of the program" in caplog.text


async def test_several_channels_and_prefixes_share_one_subscription() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.grant()
        await session.records(depth(1), trade(1), trade(1, symbol="FUE"), trade(1, symbol="VNM"))
        await session.records(trade(1, job="replay:3"), trade(2))

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        subscription = await client.subscribe(["depth", "trade"], ["F*"])
        records = await take(subscription, 4)
    assert [(record.channel, record.symbol, record.n) for record in records] == [
        ("depth", "FPT", 1),
        ("trade", "FPT", 1),
        ("trade", "FUE", 1),
        ("trade", "FPT", 2),
    ]


async def test_a_list_too_long_for_one_message_becomes_several() -> None:
    symbols = [f"SYMBOL{number:05}" for number in range(3_000)]
    async with FakeGateway() as gateway, AsyncClient(gateway.url) as client:
        subscription = await client.subscribe("trade", symbols)
    asked = [operation["symbols"] for operation in gateway.operations]
    assert [symbol for part in asked for symbol in part] == symbols
    assert [len(part) for part in asked] == [966, 966, 966, 102]
    assert len(subscription.ok) == 3_000


async def test_the_book_follows_images_of_its_board() -> None:
    go = asyncio.Event()

    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(depth(2, ts="2026-11-20T02:00:00Z"), depth(1, bd="G4", b=[[1, 1]]))
        await go.wait()
        await session.records(depth(3, b=[], a=[[98700, 5]]))

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        book = await client.book("FPT", channel="depth")
        assert book.stale
        changes = book.__aiter__()
        async with asyncio.timeout(5):
            await anext(changes)
            assert (book.best_bid, book.best_offer, book.spread) == (Level(98500, 1200), Level(98600, 700), 100)
            assert (book.last_update, book.stale) == ("2026-11-20T02:00:00Z", False)
            go.set()
            await anext(changes)
        assert (book.best_bid, book.best_offer, book.spread) == (None, Level(98700, 5), None)
    assert book.stale


async def test_unreadable_frames_harm_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        for frame in ("[{", "nonsense", "[]", '{"no":"type"}', b"\x92", '[1,{"ch":"trade"}]', "[NaN]", ""):
            await session.frame(frame)
        await session.records(trade(1))

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        (record,) = await take(await client.subscribe("trade", ["FPT"]), 1)
    assert record.n == 1
    assert caplog.text.count("unreadable") == 7


async def test_an_operation_without_a_reply_times_out_and_a_late_grant_is_given_back() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        message = await session.receive("sub")
        await session.receive("ping")
        await session.send({"t": "pong"})
        await session.send({"t": "sub", "id": message["id"], "sid": 4, "granted": {}, "ok": ["FPT"], "errors": []})
        await session.receive("unsub")
        await session.close(4403, code="CONTRACT_ENDED")

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url, request_timeout_s=0.2) as client:
        with pytest.raises(RequestTimeout, match=r"no reply to sub within 0\.2 s"):
            await client.subscribe("trade", ["FPT"])
        assert await client.ping() < 0.2
        with pytest.raises(ContractEnded, match="not entitled"):
            await asyncio.wait_for(client.wait(), 5)
    assert gateway.operations[-1] == {"op": "unsub", "sid": 4}


@pytest.mark.parametrize(
    ("symbols", "options", "message"),
    [
        ([], {}, "symbols: expected one or more names"),
        (["*", "FPT"], {}, r'expected "\*" alone'),
        (["FPT"], {"on_slow": "panic"}, "on_slow: expected one of"),
        (["FPT"], {"queue_max": 0}, "queue_max: expected at least 1"),
        (["FPT"], {"dept": 3}, "unexpected keyword argument 'dept'"),
    ],
)
async def test_a_wrong_request_is_refused_before_it_is_sent(
    symbols: list[str], options: dict[str, Any], message: str
) -> None:
    async with FakeGateway() as gateway, AsyncClient(gateway.url) as client:
        with pytest.raises(BadParam, match=message):
            await client.subscribe("trade", symbols, **options)
    assert gateway.operations == []
