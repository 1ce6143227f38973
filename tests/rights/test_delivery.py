"""Delayed delivery over real sockets: what is granted, when it comes, and that nothing fresher leaks in beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from feeds.bus.base import Delivery
from subscriptions.entitlements import Grant
from subscriptions.gateway import delayed
from subscriptions.gateway.delay import DelayLine
from subscriptions.gateway.edges import GatewayEdges
from subscriptions.gateway.layer import GatewaySettings
from tests.gateway import cast
from tests.gateway.running import DeadControl, KeyTable, RunningGateway, running

DELAY_S = 2


def late(*channels: str, **changes: object) -> Grant:
    return cast.grant(cast.rule(set(channels), timeliness="delayed", delay_s=DELAY_S), **changes)


def gateway_selling(folder: Path, keys: KeyTable, *delays_s: int) -> RunningGateway:
    async def instruments() -> dict[str, tuple[str, str]]:
        return dict(cast.INSTRUMENTS)

    async def delays() -> tuple[int, ...]:
        return delays_s

    edges = GatewayEdges(keys, instruments, DeadControl(), None, delays)
    return running(folder, settings=GatewaySettings(flush_ms=5, fill_s=0), edges=edges)  # type: ignore[return-value]


@pytest.fixture
def keys() -> KeyTable:
    table = KeyTable()
    table.grants = {"late": late("trade", "depth", key_id="late0001", subscriber_id=3, subscriber="late")}
    table.grants["alice"] = cast.alice()
    return table


def test_the_reply_says_delayed_and_the_records_come_that_late(tmp_path: Path, keys: KeyTable) -> None:
    with gateway_selling(tmp_path, keys, DELAY_S) as gateway:  # type: ignore[attr-defined]
        gateway.until(lambda: gateway.worker.delayed.line.delays == {DELAY_S}, "the line is ready")
        client, other, alice = gateway.connect("late"), gateway.connect("late"), gateway.connect("alice")
        for one in (client, other, alice):
            one.frame()
        granted = client.subscribe("trade", "FPT")["granted"]
        assert (granted["timeliness"], granted["delay_s"], granted["origin"]) == ("delayed", DELAY_S, "live")
        assert other.subscribe("trade", "*")["granted"]["timeliness"] == "delayed"
        assert alice.subscribe("trade", "FPT", timeliness="delayed")["granted"]["timeliness"] == "realtime"
        refused = client.subscribe("depth", "FPT", timeliness="realtime")
        assert (refused["ok"], refused["errors"][0]["code"]) == ([], "DELAYED_ONLY")
        sent_ns = time.time_ns()
        gateway.publish(cast.trade("FPT", 1), cast.trade("FPT", 2))
        assert [one["n"] for one in alice.records(2)] == [1, 2]
        for one in (client, other):
            frame = one.frame()
            while not isinstance(frame, list):  # states and heartbeats
                frame = one.frame()
            assert [record["n"] for record in frame] == [1, 2]
            assert time.time_ns() - sent_ns >= DELAY_S * 1_000_000_000
        assert gateway.worker.delayed.released == 2  # once, for both


def test_a_snapshot_and_a_resume_are_as_old_as_the_right(tmp_path: Path, keys: KeyTable) -> None:
    with gateway_selling(tmp_path, keys, DELAY_S) as gateway:  # type: ignore[attr-defined]
        gateway.until(lambda: gateway.worker.delayed.line.delays == {DELAY_S}, "the line is ready")
        gateway.publish(cast.depth("FPT", 1), cast.trade("FPT", 1))
        gateway.until(lambda: gateway.worker.delayed.released == 2, "the first are released")
        gateway.publish(cast.depth("FPT", 2), cast.trade("FPT", 2))
        sent_ns = time.time_ns()
        gateway.until(lambda: gateway.layer.hub.records_in >= 5, "the second are live")
        client = gateway.connect("late")
        client.frame()
        client.subscribe("depth", "FPT")
        first = client.frame()
        assert isinstance(first, list), first
        client.send(op="sub", id=9, ch="trade", symbols=["FPT"], resume={"FPT": [cast.EPOCH, 0]})
        seen = [(one["ch"], one["n"], time.time_ns()) for one in first]
        while len(seen) < 4:
            frame = client.frame()
            seen += [(one["ch"], one["n"], time.time_ns()) for one in frame if isinstance(frame, list)]
        assert [one[:2] for one in seen][:2] == [("depth", 1), ("trade", 1)]
        assert all(at_ns - sent_ns >= DELAY_S * 1_000_000_000 for _, number, at_ns in seen if number == 2)


def test_a_delay_that_nobody_sold_is_served_to_who_follows_it(tmp_path: Path, keys: KeyTable) -> None:
    with gateway_selling(tmp_path, keys) as gateway:  # type: ignore[attr-defined]
        client = gateway.connect("late")
        client.frame()
        assert client.subscribe("trade", "FPT")["granted"]["delay_s"] == DELAY_S
        gateway.until(lambda: gateway.worker.delayed.line.delays == {DELAY_S}, "the line serves it")
        gateway.publish(cast.trade("FPT", 7))
        frame = client.frame()
        while not isinstance(frame, list):
            frame = client.frame()
        assert frame[0]["n"] == 7
        client.ask(op="unsub", id=2, sid=1)
        gateway.until(lambda: not gateway.worker.delayed.line.delays, "nobody needs it any more")


def test_a_full_line_tells_its_followers_which_records_are_missing(
    tmp_path: Path, keys: KeyTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delayed, "LINE_BYTES_MAX", 0)
    with gateway_selling(tmp_path, keys, DELAY_S) as gateway:  # type: ignore[attr-defined]
        gateway.until(lambda: gateway.worker.delayed.line.delays == {DELAY_S}, "the line is ready")
        gateway.call(lambda: setattr(gateway.worker.delayed.line, "bytes_max", 0))
        client = gateway.connect("late")
        client.frame()
        client.subscribe("trade", "FPT")
        gateway.publish(cast.trade("FPT", 1))
        time.sleep(0)
        gateway.until(lambda: gateway.worker.delayed.line.records_skipped == 1, "not kept", wait_s=10)
        gateway.call(lambda: gateway.layer.publish(cast.trade("FPT", 0), f"delayed:{DELAY_S}"))
        frames = [client.frame() for _ in range(3)]
        notice = next(one for one in frames if isinstance(one, dict) and one.get("code") == "SKIPPED")
        assert (notice["s"], notice["from"], notice["to"], notice["sid"]) == ("FPT", 1, 1, 1)


def headers(first: int, last: int, **members: object) -> dict[str, object]:
    return {"origin": "live", "feed": "HSX", "partition": 0, "run": "1", "first": first, "last": last} | members


class Kept:
    """A bus that keeps three live records, and one of a replay."""

    async def refetch_parsed(self, since_ns: int) -> AsyncIterator[Delivery]:
        at_ns = time.time_ns() - 30 * 10**9
        assert since_ns <= at_ns
        two = b"\n".join([cast.trade("FPT", 1), cast.trade("FPT", 2)])
        yield Delivery(two, headers(1, 2, t_pub=at_ns), 0, 0)
        yield Delivery(cast.trade("FPT", 9), headers(1, 1, t_pub=at_ns, origin="replay:1"), 0, 0)
        yield Delivery(cast.trade("FPT", 3), headers(3, 3, t_pub=at_ns + 1), 0, 0)


def test_a_gateway_that_starts_fills_its_line_from_the_bus(tmp_path: Path, keys: KeyTable) -> None:
    with gateway_selling(tmp_path, keys, 60) as gateway:  # type: ignore[attr-defined]

        async def fill() -> None:
            late_start = delayed.Delayed(gateway.layer, source=Kept())
            late_start._sold = frozenset({60})
            late_start.line.set_delays({60})
            filling = asyncio.create_task(late_start._fill())
            await asyncio.sleep(0)
            body = b"\n".join([cast.trade("FPT", 3), cast.trade("FPT", 4)])
            late_start.take(body, headers(3, 4), time.time_ns())  # live meanwhile, and in part there already
            await filling
            found.append(late_start.line)

        found: list[DelayLine] = []
        asyncio.run_coroutine_threadsafe(fill(), gateway._loop).result(10)
        lines: list[bytes] = []
        while (chunk := found[0].release(60, time.time_ns() + 120 * 10**9)) is not None:
            assert isinstance(chunk, bytes)
            lines += chunk.split(b"\n")
        assert lines == [cast.trade("FPT", number) for number in (1, 2, 3, 4)]
