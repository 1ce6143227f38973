"""Books, quotes, bars, buckets, filters, msgpack and resumes on real sockets, each as a transcript."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import msgpack
import pytest

from feeds.bus.base import Outgoing
from feeds.bus.memory import MemoryBus
from feeds.parser.control import STATES_KEY
from subscriptions.gateway import intake as intake_module
from subscriptions.gateway.intake import Intake
from subscriptions.gateway.layer import StreamLayer
from subscriptions.protocol import SUBPROTOCOL_MSGPACK
from tests.gateway import cast
from tests.gateway.running import Client, RunningGateway, running


def opened(gateway: RunningGateway, **options: Any) -> Client:
    client = gateway.connect(**options)
    client.frame()
    return client


def known(gateway: RunningGateway, count: int) -> None:
    gateway.until(lambda: gateway.layer.hub.records_in == count, f"{count} records in")


def image(number: int, bids: list[list[int]], **members: Any) -> bytes:
    return cast.record("depth", "FPT", number, b=bids, a=[[200, 1]], **members)


def test_a_book_is_a_snapshot_then_deltas(gateway: RunningGateway) -> None:
    gateway.publish(image(98, [[100, 5], [99, 5]]))
    known(gateway, 1)
    client = opened(gateway)
    assert client.subscribe("book", "FPT", depth=1)["granted"]["depth"] == 1
    gateway.publish(image(99, [[99, 6]]), image(100, [[99, 6]]))
    found = [(one["n"], one["kind"], one["b"], one["a"], "crc" in one) for one in client.records(3)]
    assert found == [
        (98, "snap", [[100, 5]], [[200, 1]], True),
        (99, "delta", [[99, 6], [100, 0]], [], False),
        (100, "delta", [], [], True),
    ]


def test_quotes_are_merged_in_a_bucket_and_flushed_by_a_trade(gateway: RunningGateway) -> None:
    client = opened(gateway)
    granted = client.subscribe("quote", "FPT", conflate_ms=1000)["granted"]
    assert granted["conflate_ms"] == 1000
    assert client.subscribe("trade", "FPT", conflate_ms=1000)["granted"]["conflate_ms"] == 0
    gateway.publish(*(image(n, [[100 + n, 1]]) for n in (1, 2, 3)), cast.trade("FPT", 1))
    quote, trade = client.records(2)
    assert (quote["ch"], quote["n"], quote["bp"], quote["c"], quote["pn"]) == ("quote", 3, 103, 3, 0)
    assert (trade["ch"], trade["n"]) == ("trade", 1)


def test_set_changes_a_running_subscription(gateway: RunningGateway) -> None:
    client = opened(gateway)
    client.subscribe("depth", "FPT")
    gateway.publish(cast.depth("FPT", 1))
    client.records(1)
    reply = client.ask(op="set", id=9, sid=1, depth=3, on_slow="skip")
    assert (reply["t"], reply["granted"]["depth"], reply["granted"]["on_slow"]) == ("set", 3, "skip")
    gateway.publish(cast.depth("FPT", 2))
    assert len(client.records(1)[0]["b"]) == 3


def test_prefixes_boards_and_lean_records(gateway: RunningGateway) -> None:
    client = opened(gateway)
    reply = client.subscribe("trade", "VN30*", boards=["G1"], fields="lean")
    assert (reply["granted"]["boards"], reply["granted"]["fields"]) == (["G1"], "lean")
    gateway.publish(
        cast.trade("VN30F1", 1, vol=9, val=1.5), cast.trade("VN30F1", 2, bd="G4"), cast.trade("VN30F1", 3),
        cast.trade("FPT", 1),
    )  # fmt: skip
    assert [(one["s"], one["n"], one["pn"], "vol" in one) for one in client.records(2)] == [
        ("VN30F1", 1, 0, False), ("VN30F1", 3, 1, False),
    ]  # fmt: skip
    assert client.subscribe("trade", "VN30F2")["errors"][0]["code"] == "BAD_PARAM"


def test_bars_open_and_close(gateway: RunningGateway) -> None:
    client = opened(gateway)
    client.subscribe("bar", "FPT")
    times = ["2026-11-20T02:15:00.000Z", "2026-11-20T02:15:30.000Z", "2026-11-20T02:16:01.000Z"]
    gateway.publish(*(cast.record("trade", "FPT", n, ts=ts, p=100 + n, v=10) for n, ts in enumerate(times, start=1)))
    assert [(one["n"], one["pn"], one["closed"], one["h"], one["v"]) for one in client.records(4)] == [
        (2, 0, False, 101, 10), (4, 2, False, 102, 20), (5, 4, True, 102, 20), (6, 5, False, 103, 10),
    ]  # fmt: skip


def test_msgpack_carries_the_same_values(gateway: RunningGateway) -> None:
    plain, packed = opened(gateway), gateway.connect(subprotocols=[SUBPROTOCOL_MSGPACK])
    assert packed.socket.subprotocol == SUBPROTOCOL_MSGPACK

    def next_of_packed() -> Any:
        return msgpack.unpackb(packed.socket.recv(timeout=5))

    assert next_of_packed()["t"] == "welcome"
    plain.subscribe("depth", "FPT")
    packed.socket.send(msgpack.packb({"op": "sub", "id": 1, "ch": "depth", "symbols": ["FPT"]}))
    assert next_of_packed()["ok"] == ["FPT"]
    gateway.publish(image(1, [[98500, 1200]], pad=0.5))
    assert next_of_packed() == {"t": "state", "sid": 1, "state": "running"}
    assert next_of_packed() == plain.records(1)
    packed.socket.send(msgpack.packb([1]))
    assert next_of_packed()["code"] == "BAD_JSON"


def test_a_resume_is_every_missed_record_then_live(gateway: RunningGateway) -> None:
    gateway.publish(*(cast.trade("FPT", n) for n in range(1, 1001)))
    known(gateway, 1000)
    client = opened(gateway)
    client.subscribe("trade", "FPT", resume={"FPT": [cast.EPOCH, 300]})
    assert client.frame() == {"t": "resumed", "sid": 1, "s": "FPT", "from": 301}
    gateway.publish(cast.trade("FPT", 1001))
    assert [one["n"] for one in client.records(701)] == list(range(301, 1002))


@pytest.mark.parametrize(
    ("epoch", "at", "to", "why"), [("20261119-1", 5, None, "epoch"), (cast.EPOCH, 5, 60, "retention")]
)
def test_a_resume_that_is_not_possible_is_a_gap_and_a_snapshot(
    tmp_path: Path, epoch: str, at: int, to: int | None, why: str
) -> None:
    with running(tmp_path) as gateway:
        gateway.call(lambda: setattr(gateway.layer.hub.histories, "records_max", 8))
        gateway.call(lambda: setattr(gateway.layer.hub.histories, "length_max", 10))
        gateway.publish(*(cast.depth("FPT", n) for n in range(1, 61)))
        known(gateway, 60)
        client = opened(gateway)
        client.subscribe("book", "FPT", resume={"FPT": [epoch, at]})
        assert client.frame() == {"t": "gap", "sid": 1, "s": "FPT", "from": 6, "to": to, "why": why}
        assert [(one["n"], one["kind"]) for one in client.records(1)] == [(60, "snap")]


def test_who_knows_more_than_this_gateway_waits_for_the_next(gateway: RunningGateway) -> None:
    gateway.publish(*(cast.trade("FPT", n) for n in range(1, 4)))
    known(gateway, 3)
    client = opened(gateway)
    client.subscribe("trade", "FPT", resume={"FPT": [cast.EPOCH, 5]})  # another gateway served 5
    assert client.frame()["from"] == 6
    gateway.publish(*(cast.trade("FPT", n) for n in range(4, 8)))
    assert [one["n"] for one in client.records(2)] == [6, 7]
    late = opened(gateway)
    late.subscribe("trade", "VNM", resume={"VNM": [cast.EPOCH, 9]})  # nothing is known of it here
    gateway.publish(cast.trade("VNM", 10))
    assert late.frame()["state"] == "running"
    assert late.frame() == {"t": "resumed", "sid": 1, "s": "VNM", "from": 10}
    assert late.records(1)[0]["n"] == 10


async def test_a_gateway_that_starts_fetches_the_history_first(tmp_path: Path) -> None:
    bus, layer = MemoryBus(tmp_path, 1), StreamLayer()
    await bus.open()
    intake = Intake(bus, layer=layer, name="second")
    outbox = bus.parsed_outbox()
    for number in range(1, 6):
        headers: dict[str, str | int] = {
            "feed": "HSX", "epoch": cast.EPOCH, "origin": "live", "partition": 0, "run": "1", "first": number,
            "last": number, "t_rx": time.time_ns(), "t_pub": time.time_ns(),
        }  # fmt: skip
        await outbox.put(Outgoing(0, cast.trade("FPT", number), headers))
    running_intake = asyncio.create_task(intake.run())
    await asyncio.sleep(0)
    assert not layer.filled.is_set()
    await asyncio.wait_for(layer.filled.wait(), 5)
    stream = layer.hub.origins["live"][b'{"ch":"trade","s":"FPT"']
    assert stream.history is not None
    assert [number for number, _, _, _ in stream.history] == [1, 2, 3, 4, 5]
    running_intake.cancel()
    await asyncio.gather(running_intake, return_exceptions=True)


async def test_a_gateway_that_starts_works_off_what_came_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscriber before that would take old records for new ones."""
    monkeypatch.setattr(intake_module, "WORKED_OFF_LOOK_S", 0.5)
    bus, layer = MemoryBus(tmp_path, 1), StreamLayer()
    await bus.open()
    intake = Intake(bus, layer=layer, name="third")
    outbox = bus.parsed_outbox()

    async def publish(number: int, age_s: float) -> None:
        published_ns = time.time_ns() - int(age_s * 1e9)
        headers: dict[str, str | int] = {
            "feed": "HSX", "epoch": cast.EPOCH, "origin": "live", "partition": 0, "run": "1", "first": number,
            "last": number, "t_rx": published_ns, "t_pub": published_ns,
        }  # fmt: skip
        await outbox.put(Outgoing(0, cast.trade("FPT", number), headers))

    await publish(1, 3.0)
    running_intake = asyncio.create_task(intake.run())
    for number in range(2, 62):  # a backlog, for 1.2 s
        await publish(number, 3.0)
        await asyncio.sleep(0.02)
        assert not layer.filled.is_set()
    await publish(62, 0.0)
    await asyncio.wait_for(layer.filled.wait(), 2)
    assert layer.hub.origins["live"][b'{"ch":"trade","s":"FPT"'].number == 62
    running_intake.cancel()
    await asyncio.gather(running_intake, return_exceptions=True)
    await bus.close()


def test_what_is_said_of_a_feed_resumes(gateway: RunningGateway) -> None:
    def said(number: int) -> bytes:
        return cast.record("status", "feed:HSX", number, m=None, bd=None, mt="feed", event="state", state="live")

    gateway.publish(*(said(n) for n in (1, 2, 3, 3, 4)))
    known(gateway, 5)
    client = opened(gateway)
    client.subscribe("status", "feed:HSX", resume={"feed:HSX": [cast.EPOCH, 2]})
    assert client.frame()["from"] == 3
    assert [one["n"] for one in client.records(2)] == [3, 4]


async def test_a_gateway_that_starts_knows_the_feeds_states(tmp_path: Path) -> None:
    bus, layer = MemoryBus(tmp_path, 1), StreamLayer()
    await bus.open()
    line = cast.record("status", "feed:HSX", 7, m=None, bd=None, mt="feed", event="state", state="stale").decode()
    await bus.retain(STATES_KEY, json.dumps({"HSX": line}).encode())
    intake = Intake(bus, layer=layer, name="second")
    running_intake = asyncio.create_task(intake.run())
    async with asyncio.timeout(5):
        while not intake.feeds.feeds:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert intake.feeds.shown(now_ns=1)["HSX"]["state"] == "stale"
    running_intake.cancel()
    await asyncio.gather(running_intake, return_exceptions=True)
