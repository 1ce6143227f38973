"""The channel `raw`: the exchange's messages from RAW to those who have the right, each once, losses told."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from feeds.blocks import FLAG_GAP, FLAG_UNFRAMED, Entry, encode_block
from feeds.bus.base import Outgoing
from subscriptions.entitlements import LEVEL_MAX
from subscriptions.gateway import raw as raw_module
from subscriptions.gateway import replays
from subscriptions.protocol import SUBPROTOCOL_MSGPACK
from tests.feeds.wire import message
from tests.gateway import cast
from tests.gateway.running import WAIT_S, Client, RunningGateway, running
from tests.gateway.test_replays import END, START, Players

EPOCH = 2026112001
RX_NS = 1_795_140_900_001_000_000
FPT, VNM = "VN000000FPT1", "VN000000VNM8"


def trade(number: int, isin: str = FPT, **more: Any) -> bytes:
    return message("X", number, (30001, "STO"), (20004, "G1"), (55, isin), *more.get("pairs", ()))


class Exchange:
    """RAW messages of one publisher and partition, numbered as a publisher numbers them."""

    def __init__(self, gateway: RunningGateway, publisher: str = "p1", origin: str = "live") -> None:
        self.gateway, self.publisher, self.origin = gateway, publisher, origin
        self.number = 0

    def send(self, *messages: bytes | Entry, beside: bool = False, epoch: int = EPOCH, **headers: Any) -> None:
        self.number += 1
        entries = [(RX_NS + at, 0, 0, one) if isinstance(one, bytes) else one for at, one in enumerate(messages)]
        body = encode_block(entries, feed_id=7, epoch=epoch, first_seq=1)
        members = {
            "pub": self.publisher, "no": self.number, "feed": "KRX", "epoch": epoch, "origin": self.origin,
            "partition": 0, "first": 1, "last": 1, "t_rx": RX_NS,
        } | headers  # fmt: skip

        async def put() -> None:
            bus = self.gateway.bus
            outbox = bus.beside_outbox() if beside else bus.raw_outbox(replay=self.origin != "live")
            await outbox.put(Outgoing(0, body, members))

        asyncio.run_coroutine_threadsafe(put(), self.gateway._loop).result(WAIT_S)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with running(tmp_path) as one:
        whole = cast.rule({"raw", "trade"}, level=LEVEL_MAX)
        one.keys.grants["rae"] = cast.grant(whole, key_id="rae00001", subscriber_id=7)
        late = cast.rule({"raw"}, level=LEVEL_MAX, timeliness="delayed", delay_s=2)
        one.keys.grants["dora"] = cast.grant(late, key_id="dora0001", subscriber_id=8)
        only = cast.rule({"raw"}, level=LEVEL_MAX, symbols=frozenset({"VNM"}))
        one.keys.grants["vic"] = cast.grant(only, key_id="vic00001", subscriber_id=9)
        yield one


@pytest.fixture
def exchange(gateway: RunningGateway) -> Exchange:
    return Exchange(gateway)


def follow(gateway: RunningGateway, *symbols: str, key: str = "rae", **members: Any) -> Client:
    """A client whose subscription was granted, and a queue of the gateway's own at RAW."""
    client = gateway.connect(key)
    assert client.frame()["t"] == "welcome"
    reply = client.subscribe("raw", *symbols, **members)
    assert (reply["errors"], reply["sid"]) == ([], 1)
    gateway.until(gateway.worker.raw.bound.is_set, "RAW is followed")
    return client


def numbers(records: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return [(one["s"], one["n"], one["q"]) for one in records]


def test_a_record_holds_the_message_byte_for_byte(gateway: RunningGateway, exchange: Exchange) -> None:
    client = follow(gateway, "FPT")
    sent = trade(41, pairs=[(58, "Công ty")])
    exchange.send(sent, trade(42, VNM), trade(43))
    first, second = client.records(2)
    assert base64.b64decode(first.pop("data")) == sent
    assert base64.b64decode(second.pop("data")) == trade(43)
    assert list(first) == ["ch", "s", "n", "ep", "rx", "q", "m", "bd", "mt", "ts"]
    epoch = first.pop("ep")
    assert epoch.startswith("20261120-1.")
    assert first == {
        "ch": "raw", "s": "FPT", "n": 1, "rx": RX_NS, "q": 41, "m": "STO", "bd": "G1", "mt": "X",
        "ts": "2026-11-20T02:15:00.123Z",
    }  # fmt: skip
    assert (second["n"], second["q"], second["ep"]) == (2, 43, epoch)
    assert client.states == [(1, "running")]


def test_msgpack_holds_bytes(gateway: RunningGateway, exchange: Exchange) -> None:
    client = gateway.connect("rae", subprotocols=[SUBPROTOCOL_MSGPACK])
    client.socket.recv(timeout=WAIT_S)
    client.send(op="sub", id=1, ch="raw", symbols=["FPT"])
    client.socket.recv(timeout=WAIT_S)
    gateway.until(gateway.worker.raw.bound.is_set, "RAW is followed")
    exchange.send(trade(41))
    frames = [msgpack.unpackb(client.socket.recv(timeout=WAIT_S)) for _ in range(2)]
    assert frames[0]["state"] == "running"
    (record,) = frames[1]
    assert (record["ch"], record["s"], record["data"]) == ("raw", "FPT", trade(41))


def test_every_message_has_the_stream_that_its_records_have(gateway: RunningGateway, exchange: Exchange) -> None:
    client = follow(gateway, "*")
    exchange.send(
        trade(1),
        message("M1", 1, (30001, "STO"), (30167, "001")),
        message("ML", 1, (30001, "STO"), (30167, "101"), (55, FPT)),  # 55 is a constituent
        message("f", 2, (30001, "STO"), (20004, "G1")),
        message("MD", 1, (30001, "STX")),  # no router, no instrument
        message("d", 1, (30001, "STO"), (55, "VN000000NEW1"), (30624, "NEW")),
        trade(3, "VN000000NEW1"),
        (RX_NS, 0, FLAG_UNFRAMED, b"noise"),
    )
    records = client.records(7)
    assert [one["s"] for one in records] == [
        "FPT", "VNINDEX", "VN30", "board:STO.G1", "feed:STX", "NEW", "NEW",
    ]  # fmt: skip
    assert [one["n"] for one in records] == [1, 1, 1, 1, 1, 1, 2]
    assert gateway.call(gateway.worker.raw.counts) == {
        "messages": 1, "records": 7, "duplicates": 0, "unframed": 1, "bad_blocks": 0, "losses": 0,
    }  # fmt: skip


def test_what_comes_again_is_dropped_by_number_and_by_identity(gateway: RunningGateway, exchange: Exchange) -> None:
    client = follow(gateway, "*")
    exchange.send(trade(1), trade(2))
    exchange.number = 0
    exchange.send(trade(1), trade(2))  # go-back-N: the same number
    successor = Exchange(gateway, "p2")
    successor.send(trade(2), trade(3), beside=True)  # a publisher that was restored, and parses itself
    gap = b'{"market":"STO","stream":"market","from":4,"to":6,"t0":1,"t1":2}'
    successor.send((RX_NS, 0, FLAG_GAP, gap), trade(7), trade(5), trade(5))  # 5 fills the gap, once
    index = message("M1", 0, (30001, "STO"), (30167, "001"))
    successor.send(index, index)
    assert [(one["n"], one["q"]) for one in client.records(6)] == [(1, 1), (2, 2), (3, 3), (4, 7), (5, 5), (1, 0)]
    assert gateway.call(gateway.worker.raw.counts)["duplicates"] == 4
    successor.send(trade(1), epoch=EPOCH + 1)  # sequences begin anew
    (record,) = client.records(1)
    assert (record["n"], record["q"], record["ep"][:11]) == (1, 1, "20261120-2.")


def test_a_loss_is_told_and_begins_a_new_numbering(gateway: RunningGateway, exchange: Exchange) -> None:
    client = follow(gateway, "FPT", "VNM")
    exchange.send(trade(1), trade(2))
    (epoch,) = {one["ep"] for one in client.records(2)}
    exchange.number += 1  # a message that nobody gets
    exchange.send(trade(4), trade(5, VNM))
    assert client.frame() == {"t": "gap", "sid": 1, "s": "FPT", "from": 3, "to": None, "why": "epoch"}
    records = client.records(2)
    assert numbers(records) == [("FPT", 1, 4), ("VNM", 1, 5)]
    assert {one["ep"] for one in records} != {epoch}
    successor = Exchange(gateway, "p2")
    successor.send(trade(6), **{"from": f"p1:{exchange.number}"})
    assert numbers(client.records(1)) == [("FPT", 2, 6)]
    Exchange(gateway, "p3").send(trade(9), **{"from": "p2:2"})  # p2's second never came
    assert client.frame()["t"] == "gap"
    assert gateway.call(gateway.worker.raw.counts)["losses"] == 2


def test_what_came_while_the_broker_was_away_is_a_loss(gateway: RunningGateway, exchange: Exchange) -> None:
    client = follow(gateway, "FPT")
    exchange.send(trade(1))
    client.records(1)
    gateway.call(gateway.worker.raw._bound)  # the bus has made the queue anew
    assert client.frame() == {"t": "gap", "sid": 1, "s": "FPT", "from": 2, "to": None, "why": "epoch"}
    exchange.number += 5
    exchange.send(trade(1), trade(9))  # what a publisher sends again after it is no news
    assert numbers(client.records(1)) == [("FPT", 1, 9)]
    assert gateway.call(gateway.worker.raw.counts)["losses"] == 1


def test_a_resume_is_whole_or_says_that_it_is_not(gateway: RunningGateway, exchange: Exchange) -> None:
    client = follow(gateway, "FPT")
    exchange.send(trade(1), trade(2))
    epoch = client.records(2)[0]["ep"]
    client.socket.close()
    exchange.send(trade(3), trade(4))
    back = follow(gateway, "FPT", resume={"FPT": [epoch, 2]})
    assert back.frame() == {"t": "resumed", "sid": 1, "s": "FPT", "from": 3}
    assert numbers(back.records(2)) == [("FPT", 3, 3), ("FPT", 4, 4)]
    elsewhere = follow(gateway, "FPT", resume={"FPT": ["20261120-1.0", 2]})
    assert elsewhere.frame() == {"t": "gap", "sid": 1, "s": "FPT", "from": 3, "to": None, "why": "epoch"}


def test_raw_history_has_a_bound_of_its_own(
    gateway: RunningGateway, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_module, "HISTORY_BYTES_MAX", 3_000)
    client = follow(gateway, "*")
    exchange.send(*(trade(n, FPT if n % 2 else VNM) for n in range(1, 41)))
    epoch = client.records(40)[0]["ep"]
    kept = gateway.call(lambda: gateway.layer.hub.histories.bytes)
    assert 1_000 < kept <= 3_000
    back = follow(gateway, "FPT", resume={"FPT": [epoch, 2]})
    assert back.frame() == {"t": "gap", "sid": 1, "s": "FPT", "from": 3, "to": 20, "why": "retention"}


def test_rights_to_raw(gateway: RunningGateway, exchange: Exchange) -> None:
    alice = gateway.connect("alice")  # ten levels: raw messages carry every one
    alice.frame()
    codes = [alice.subscribe("raw", symbol)["errors"][0]["code"] for symbol in ("FPT", "*", "FP*")]
    assert codes == ["LEVEL_NOT_ENTITLED"] * 3
    bob = gateway.connect("bob")
    bob.frame()
    assert bob.subscribe("raw", "FPT")["errors"][0]["code"] == "NOT_ENTITLED"
    victor = gateway.connect("vic")  # some instruments: not what is of none
    victor.frame()
    assert victor.subscribe("raw", "feed:STO")["errors"][0]["code"] == "NOT_ENTITLED"
    assert victor.subscribe("raw", "feed:KRX")["errors"][0]["code"] == "NOT_ENTITLED"
    vic = follow(gateway, "V*", key="vic")
    rae = follow(gateway, "*")
    exchange.send(trade(1), trade(2, VNM), trade(3))
    assert numbers(rae.records(3)) == [("FPT", 1, 1), ("VNM", 1, 2), ("FPT", 2, 3)]
    assert numbers(vic.records(1)) == [("VNM", 1, 2)]


def test_a_delayed_right_gets_the_same_bytes_later(gateway: RunningGateway, exchange: Exchange) -> None:
    dora = follow(gateway, "FPT", key="dora")
    rae = follow(gateway, "FPT")
    gateway.until(lambda: bool(gateway.worker.delayed.line.delays), "the delay is served")
    exchange.send(trade(1), trade(2, VNM))
    (now,) = rae.records(1)
    (later,) = dora.records(1)
    assert later == now


def test_nobody_reads_raw_for_nothing(
    gateway: RunningGateway, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_module, "LINGER_S", 0.2)
    exchange.send(trade(1))
    assert gateway.call(lambda: (gateway.bus._raw_followers, gateway.worker.raw.messages)) == ({}, 0)
    client = follow(gateway, "FPT")
    exchange.send(trade(2))
    first = client.records(1)[0]
    assert client.ask(op="unsub", id=9, sid=1)["state"] == "closed"
    gateway.until(lambda: not gateway.bus._raw_followers, "the queue is left")
    gateway.until(lambda: not gateway.layer.hub.histories.bytes, "nothing is kept")
    exchange.send(trade(3))
    client.subscribe("raw", "FPT")
    gateway.until(gateway.worker.raw.bound.is_set, "RAW is followed again")
    exchange.send(trade(4))
    again = client.records(1)[0]
    assert (again["n"], again["q"]) == (1, 4)
    assert again["ep"] != first["ep"]


def test_a_replay_has_its_own_streams(gateway: RunningGateway, exchange: Exchange) -> None:
    rae = follow(gateway, "FPT")
    replayed = gateway.connect("rae")
    replayed.frame()
    replays = gateway.worker.replays
    replays_admit = replays.admit

    async def admit(session: Any, operation: Any) -> None:
        """Every job is there."""

    replays.admit = admit  # type: ignore[method-assign]
    assert replayed.subscribe("raw", "FPT", origin="replay:5")["ok"] == ["FPT"]
    replays.admit = replays_admit  # type: ignore[method-assign]
    job = Exchange(gateway, "job", origin="replay:5")
    job.send(trade(1), trade(2))
    exchange.send(trade(9))
    records = replayed.records(2)
    assert [(one["job"], one["n"], one["q"]) for one in records] == [("replay:5", 1, 1), ("replay:5", 2, 2)]
    assert numbers(rae.records(1)) == [("FPT", 1, 9)]


def test_a_replay_begins_when_raw_comes_to_this_gateway(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[bool] = []

    class Playing(Players):
        async def send(self, job_id: int) -> None:
            bound.append(gateway.worker.raw.bound.is_set())
            await super().send(job_id)

    players = Playing()
    monkeypatch.setattr(replays, "_port", players)
    client = gateway.connect("rae")
    client.frame()
    reply = client.ask(op="replay", id=1, ch="raw", symbols=["FPT"], start=START, end=END)
    assert (reply["t"], reply["ok"]) == ("replay", ["FPT"])
    gateway.until(lambda: bool(players.calls), "the job was let go")
    assert bound == [True]
    Exchange(gateway, "job", origin=reply["origin"]).send(trade(1), trade(2, VNM), trade(3))
    assert numbers(client.records(2)) == [("FPT", 1, 1), ("FPT", 2, 3)]
    assert client.states == [(1, "running")]


def test_a_slow_follower_is_told_the_exact_range(gateway: RunningGateway, exchange: Exchange) -> None:
    """`raw` is a channel of events: never merged, skipped with its range."""
    client = follow(gateway, "FPT", on_slow="conflate", conflate_ms=100)
    client.send(op="list", id=2)
    granted = client.frame()["subscriptions"][0]["granted"]
    assert (granted["on_slow"], granted["conflate_ms"]) == ("skip", 0)
    seat = gateway.call(lambda: next(iter(gateway.layer.seats.values())))
    writable = seat.sink.writable
    seat.outbox.bytes_max = 20_000
    seat.sink.writable = lambda: False
    for number in range(1, 61):
        exchange.send(trade(number))
    gateway.until(lambda: seat.outbox.skipped > 0, "records are skipped")
    skipped = gateway.call(lambda: seat.outbox.skipped)
    seat.sink.writable = writable
    found: list[int] = []
    notices: list[dict[str, Any]] = []
    while not notices or len(found) + notices[0]["to"] - notices[0]["from"] + 1 < 60:
        frame = client.frame()
        if isinstance(frame, list):
            found += [one["n"] for one in frame]
        elif frame.get("code") == "SKIPPED":
            notices.append(frame)
    assert (notices[0]["s"], len(notices)) == ("FPT", 1)
    assert notices[0]["to"] - notices[0]["from"] + 1 >= skipped
    assert sorted(found + list(range(notices[0]["from"], notices[0]["to"] + 1))) == list(range(1, 61))
