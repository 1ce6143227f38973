"""The synchronous client: a gateway in one thread, ordinary code in this one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mdds_client import AuthFailed, Client, ClientClosed, ConnectionFailed, Level, NotEntitled, Record, State
from mdds_client.testing import FakeGateway, FakeSession, Script


@contextmanager
def gateway_in_a_thread(*scripts: Script) -> Iterator[FakeGateway]:
    gateway = FakeGateway(*scripts)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(gateway.__aenter__(), loop).result(5)
        yield gateway
        asyncio.run_coroutine_threadsafe(gateway.__aexit__(None, None, None), loop).result(5)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def record(channel: str, n: int, **members: Any) -> dict[str, Any]:
    return {"ch": channel, "s": "FPT", "n": n, "ep": "e1", "bd": "G1", "mt": "X", **members}


async def five_trades(session: FakeSession) -> None:
    await session.welcome()
    await session.grant()
    await session.records(*[record("trade", n) for n in range(1, 6)])
    await session.serve()


def test_iterating_pinging_and_leaving() -> None:
    with gateway_in_a_thread(five_trades) as gateway, Client(gateway.url, "mdds_live_k") as client:
        assert client.state is State.LIVE
        with client.subscribe("trade", ["FPT"]) as subscription:
            numbers = [next(subscription).n for _ in range(5)]
            assert client.ping() >= 0
        assert list(subscription) == []
        assert subscription.ok == (("trade", "FPT"),)
    assert numbers == [1, 2, 3, 4, 5]
    assert client.state is State.CLOSED
    assert [operation["op"] for operation in gateway.operations] == ["sub", "ping", "unsub"]


def test_closing_ends_an_iterator_in_another_thread() -> None:
    seen: list[int] = []
    with gateway_in_a_thread(five_trades) as gateway:
        client = Client(gateway.url)
        client.connect()
        subscription = client.subscribe("trade", ["FPT"])
        fifth = threading.Event()

        def consume() -> None:
            for trade in subscription:
                seen.append(trade.n)
                if trade.n == 5:
                    fifth.set()

        consumer = threading.Thread(target=consume)
        consumer.start()
        assert fifth.wait(5)
        client.close()
        consumer.join(5)
        assert not consumer.is_alive()
        with pytest.raises(ClientClosed):
            client.ping()
    assert seen == [1, 2, 3, 4, 5]


def test_callbacks_run_in_a_thread_of_their_own_and_may_use_the_client() -> None:
    seen: list[tuple[int, bool]] = []
    done = threading.Event()
    with gateway_in_a_thread(five_trades) as gateway, Client(gateway.url) as client:

        def callback(trade: Record) -> None:
            seen.append((trade.n, client.ping() >= 0))
            if trade.n == 5:
                done.set()

        client.subscribe("trade", ["FPT"], callback=callback)
        assert done.wait(5)
    assert seen == [(n, True) for n in range(1, 6)]


def test_calling_the_client_from_its_own_thread_is_refused_instead_of_hanging() -> None:
    errors: list[str] = []

    def on_state(change: object) -> None:
        if client.state is State.LIVE:
            try:
                client.ping()
            except RuntimeError as error:
                errors.append(str(error))

    with gateway_in_a_thread() as gateway:
        client = Client(gateway.url, on_state=on_state)
        with client:
            pass
    assert errors == ["on_gap and on_state run in the client's own thread and may not call the client"]


def test_the_book_is_kept_in_the_background() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(record("depth", 1, b=[[98500, 1200]], a=[[98600, 700]]))
        await session.serve()

    with gateway_in_a_thread(script) as gateway, Client(gateway.url) as client:
        book = client.book("FPT", channel="depth")
        client.ping()  # answered after the image
        assert (book.best_bid, book.best_offer, book.stale) == (Level(98500, 1200), Level(98600, 700), False)
        book.close()


def test_errors_arrive_where_the_call_was_made() -> None:
    async def refuses(session: FakeSession) -> None:
        await session.welcome()
        message = await session.receive("sub")
        await session.send({"t": "error", "id": message["id"], "code": "NOT_ENTITLED", "fatal": False, "msg": "no"})
        await session.close(4401, code="AUTH_FAILED")

    with gateway_in_a_thread(refuses) as gateway, Client(url := gateway.url) as client:
        with pytest.raises(NotEntitled, match="no"):
            client.subscribe("trade", ["FPT"])
        with pytest.raises(AuthFailed):
            client.wait()
    with pytest.raises(ConnectionFailed, match="connection refused"), Client(url):
        pass
    assert [thread.name for thread in threading.enumerate() if thread.name == "mdds-client"] == []
