"""What the client does when a connection ends: come back and subscribe again, wait for a change, or stay away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mdds_client import (
    AsyncClient,
    AuthFailed,
    AuthRequired,
    Banned,
    Closing,
    ConnectionFailed,
    Gap,
    KeyRevoked,
    MddsError,
    NotEntitled,
    State,
    StateChange,
    TakenOver,
)
from mdds_client.testing import FakeGateway, FakeSession, Script


def trade(n: int, *, epoch: str = "e1") -> dict[str, Any]:
    return {"ch": "trade", "s": "FPT", "n": n, "ep": epoch, "bd": "G1", "mt": "X", "p": 98500, "v": 100}


def closes(status: int, **reason: Any) -> Script:
    """A first connection that streams trades 1 and 2 and is then closed."""

    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(trade(1), trade(2))
        await session.close(status, **reason)

    return script


def continues(*numbers: int, **welcome: Any) -> Script:
    """A connection that grants the subscription and streams these trades."""

    async def script(session: FakeSession) -> None:
        await session.welcome(**welcome)
        await session.grant()
        await session.records(*[trade(n) for n in numbers])
        await session.serve()

    return script


async def numbers_of(client: AsyncClient, count: int) -> list[int]:
    subscription = await client.subscribe("trade", ["FPT"])
    taken: list[int] = []
    async with asyncio.timeout(5):
        while len(taken) < count:
            taken += [record.n for record in await subscription.batch()]
    return taken


@pytest.mark.parametrize("status", [1000, 1001, 1011, 1012, 4000, 4001, 4003, 4004])
async def test_it_comes_back_subscribes_again_and_says_what_it_missed(status: int) -> None:
    gaps: list[Gap] = []
    changes: list[StateChange] = []
    async with (
        FakeGateway(closes(status, retry_after_ms=5), continues(2, 7, 8)) as gateway,
        AsyncClient(gateway.url, on_gap=gaps.append, on_state=changes.append) as client,
    ):
        assert await numbers_of(client, 4) == [1, 2, 7, 8]
        assert client.reconnects == 1
    assert gaps == [Gap("trade", "FPT", "e1", 3, 6, "reconnect")]
    assert [change.state for change in changes] == [
        State.CONNECTING,
        State.LIVE,
        State.RECONNECTING,
        State.LIVE,
        State.CLOSED,
    ]
    assert gateway.operations[1] == {**gateway.operations[0], "resume": {"FPT": ["e1", 2]}}


async def test_the_server_names_the_earliest_moment_to_come_back() -> None:
    changes: list[StateChange] = []
    async with (
        FakeGateway(closes(4000, code="SHUTDOWN", retry_after_ms=700), continues(3)) as gateway,
        AsyncClient(gateway.url, on_state=changes.append) as client,
    ):
        begun_s = asyncio.get_running_loop().time()
        assert await numbers_of(client, 3) == [1, 2, 3]
        assert asyncio.get_running_loop().time() - begun_s >= 0.7
    (reconnecting,) = [change for change in changes if change.state is State.RECONNECTING]
    assert reconnecting.retry_in_s is not None
    assert reconnecting.retry_in_s >= 0.7
    assert "SHUTDOWN" in reconnecting.reason


async def test_a_cut_without_a_close_frame_is_survived() -> None:
    async def cut(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(trade(1))
        session.socket.transport.abort()

    async with FakeGateway(cut, continues(2)) as gateway, AsyncClient(gateway.url) as client:
        assert await numbers_of(client, 2) == [1, 2]


async def test_a_silent_server_is_left_after_two_heartbeats() -> None:
    changes: list[StateChange] = []

    async def silent(session: FakeSession) -> None:
        await session.welcome(hb_s=0.1)
        await session.grant()
        for _ in range(6):  # heartbeats keep it alive well past the limit
            await session.send({"t": "hb", "feeds": {"STO": {"state": "live"}}})
            await asyncio.sleep(0.1)
        await session.records(trade(1))

    async with (
        FakeGateway(silent, continues(2)) as gateway,
        AsyncClient(gateway.url, on_state=changes.append) as client,
    ):
        assert await numbers_of(client, 2) == [1, 2]
        assert client.feeds == {"STO": {"state": "live"}}
    assert [change.reason for change in changes if change.state is State.RECONNECTING] == [
        "CONNECTION_FAILED: the server was silent for 0.3 s"
    ]


async def test_a_new_epoch_after_a_reconnect_reports_its_missed_beginning() -> None:
    gaps: list[Gap] = []

    async def new_day(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(trade(4, epoch="e2"), trade(5, epoch="e2"))

    async with (
        FakeGateway(closes(4004), new_day) as gateway,
        AsyncClient(gateway.url, on_gap=gaps.append) as client,
    ):
        assert await numbers_of(client, 4) == [1, 2, 4, 5]
    assert gaps == [Gap("trade", "FPT", "e2", 1, 3, "reconnect")]


async def test_a_resumed_stream_goes_on_without_a_gap_and_a_refused_one_says_its_own() -> None:
    gaps: list[Gap] = []

    async def resumes(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(sid=9)
        await session.send({"t": "resumed", "sid": 9, "s": "FPT", "from": 3})
        await session.records(*[trade(n) for n in (3, 4, 5)])
        await session.close(4000, retry_after_ms=1)

    async with (
        FakeGateway(closes(4000), resumes, continues(6, 9)) as gateway,
        AsyncClient(gateway.url, on_gap=gaps.append) as client,
    ):
        assert await numbers_of(client, 7) == [1, 2, 3, 4, 5, 6, 9]
    assert [operation.get("resume") for operation in gateway.operations] == [
        None,
        {"FPT": ["e1", 2]},
        {"FPT": ["e1", 5]},
    ]
    assert gaps == [Gap("trade", "FPT", "e1", 7, 8, "reconnect")]


async def test_resume_may_be_left_out() -> None:
    async with (
        FakeGateway(closes(4000), continues(3)) as gateway,
        AsyncClient(gateway.url, resume=False) as client,
    ):
        assert await numbers_of(client, 3) == [1, 2, 3]
    assert gateway.operations[0] == gateway.operations[1]


async def test_what_cannot_be_resumed_is_a_gap_with_the_servers_reason() -> None:
    gaps: list[Gap] = []

    async def resumes(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(sid=9)
        await session.send({"t": "gap", "sid": 9, "s": "FPT", "from": 3, "to": 4, "why": "retention"})
        await session.records(trade(5), trade(6))

    async with (
        FakeGateway(closes(4000), resumes) as gateway,
        AsyncClient(gateway.url, on_gap=gaps.append) as client,
    ):
        assert await numbers_of(client, 4) == [1, 2, 5, 6]
    assert ["resume" in operation for operation in gateway.operations] == [False, True]
    assert gateway.operations[1]["resume"] == {"FPT": ["e1", 2]}
    assert gaps == [Gap("trade", "FPT", "e1", 3, 4, "retention")]


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (4401, {"code": "KEY_REVOKED", "msg": "the key was revoked at 09:15"}, KeyRevoked),
        (4401, {}, AuthFailed),
        (4403, {"code": "NOT_ENTITLED"}, NotEntitled),
        (4429, {}, Banned),
        (4101, {}, TakenOver),
        (1008, {}, ConnectionFailed),
    ],
)
async def test_a_final_close_reaches_every_waiter_after_the_last_record(
    status: int, reason: dict[str, Any], error: type[MddsError]
) -> None:
    async with FakeGateway(closes(status, **reason), continues(3)) as gateway, AsyncClient(gateway.url) as client:
        subscription = await client.subscribe("trade", ["FPT"])
        numbers: list[int] = []
        async with asyncio.timeout(5):
            with pytest.raises(error, match=reason.get("msg")):
                async for record in subscription:
                    numbers.append(record.n)
            assert numbers == [1, 2]
            with pytest.raises(error):
                await client.wait()
            with pytest.raises(error):
                await client.subscribe("trade", ["VNM"])
        assert client.state is State.CLOSED
    assert len(gateway.sessions) == 1


async def test_after_a_change_the_program_decides() -> None:
    asked: list[Closing] = []

    def change(closing: Closing) -> bool:
        asked.append(closing)
        return True

    async with (
        FakeGateway(closes(4101, retry_after_ms=1), continues(3)) as gateway,
        AsyncClient(gateway.url, on_change=change) as client,
    ):
        assert await numbers_of(client, 3) == [1, 2, 3]
    assert [(closing.code, closing.error.code) for closing in asked] == [(4101, "TAKEN_OVER")]


async def test_a_wrong_key_fails_at_once_with_the_words_of_the_server() -> None:
    async def script(session: FakeSession) -> None:
        await session.send(
            {"t": "error", "id": None, "code": "AUTH_FAILED", "fatal": True, "msg": "no such key: mdds_live_abcdefgh"}
        )
        await session.close(4401, code="AUTH_FAILED", retry_after_ms=None)

    async with FakeGateway(script) as gateway:
        with pytest.raises(AuthFailed, match="no such key: mdds_live_abcdefgh"):
            async with AsyncClient(gateway.url, "mdds_live_abcdefgh_secret", wait_for_server=True):
                pass
    assert len(gateway.sessions) == 1


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, '{"code":"AUTH_REQUIRED","msg":"a key is needed"}', AuthRequired),
        (403, "Forbidden", AuthFailed),
        (404, "not here", ConnectionFailed),
    ],
)
async def test_a_refused_handshake_is_the_mirrored_error(status: int, body: str, error: type[MddsError]) -> None:
    async with FakeGateway(refuse=(status, body)) as gateway:
        with pytest.raises(error):
            async with AsyncClient(gateway.url, wait_for_server=True):
                pass


async def test_no_server_fails_at_once_or_is_waited_for() -> None:
    async with FakeGateway() as gateway:
        url = gateway.url
    with pytest.raises(ConnectionFailed, match="connection refused"):
        await AsyncClient(url).connect()
    waiting = AsyncClient(url, wait_for_server=True)
    connecting = asyncio.create_task(waiting.connect())
    await asyncio.sleep(0.05)
    assert not connecting.done()
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert waiting.state is State.CLOSED


async def test_a_subscription_refused_after_a_reconnect_ends_alone() -> None:
    async def refuses(session: FakeSession) -> None:
        await session.welcome()
        message = await session.receive("sub")
        await session.send({"t": "error", "id": message["id"], "code": "NOT_ENTITLED", "fatal": False, "msg": "ended"})
        await session.serve()

    async with FakeGateway(closes(4000), refuses) as gateway, AsyncClient(gateway.url) as client:
        with pytest.raises(NotEntitled, match="ended"):
            await numbers_of(client, 3)
        await client.subscribe("trade", ["VNM"])
        assert client.state is State.LIVE
