"""A client on a real socket: welcome, sub, images, records, unsub, and the order they come in."""

from __future__ import annotations

import pytest

from subscriptions.gateway import replays
from subscriptions.gateway.replays import PlayedJob
from tests.gateway import cast
from tests.gateway.running import RunningGateway, closed_with
from tests.gateway.test_replays import Players


def numbers(records: list[dict[str, object]]) -> list[tuple[object, object, object]]:
    return [(one["ch"], one["s"], one["n"]) for one in records]


def test_welcome_comes_first_and_states_the_limits(gateway: RunningGateway) -> None:
    client = gateway.connect()
    welcome = client.frame()
    assert client.socket.subprotocol == "mdds.v1.json"
    assert (welcome["t"], welcome["v"], welcome["subscriber"], welcome["hb_s"]) == ("welcome", "1", "acme", 15)
    assert welcome["limits"] == {
        "symbols": 50, "ops_per_s": 1000, "queue_bytes": 1048576, "sessions": 5, "sessions_used": 1,
    }  # fmt: skip
    assert gateway.connect().frame()["limits"]["sessions_used"] == 2


def test_sub_reply_then_last_images_then_records(gateway: RunningGateway) -> None:
    gateway.publish(cast.depth("FPT", 1), cast.depth("FPT", 2, bd="G4"), cast.depth("FPT", 3))
    gateway.until(lambda: gateway.layer.hub.records_in == 3, "three records in")
    client = gateway.connect()
    assert client.frame()["t"] == "welcome"
    reply = client.subscribe("depth", "FPT", "XXX")
    assert reply == {
        "t": "sub", "id": 1, "sid": 1, "state": "running",
        "granted": {"conflate_ms": 0, "timeliness": "realtime", "on_slow": "conflate", "origin": "live", "depth": 10},
        "ok": ["FPT"],
        "errors": [{"s": "XXX", "code": "SYMBOL_UNKNOWN", "msg": "no instrument, index, board or feed of this name"}],
    }  # fmt: skip
    # One image a board, the newest of each, by age.
    assert numbers(client.records(2)) == [("depth", "FPT", 2), ("depth", "FPT", 3)]
    gateway.publish(cast.depth("FPT", 4), cast.depth("VNM", 1), cast.trade("FPT", 1))
    assert numbers(client.records(1)) == [("depth", "FPT", 4)]


def test_records_are_the_bytes_of_the_parser(gateway: RunningGateway) -> None:
    client = gateway.connect()
    client.frame()
    client.subscribe("trade", "FPT", "VNM")
    gateway.publish(cast.trade("FPT", 1), cast.trade("VNM", 1))
    client.records(2)
    lines = [cast.trade("FPT", 2), cast.trade("VNM", 2), cast.trade("FPT", 3)]
    gateway.publish(*lines)
    assert client.socket.recv(timeout=5) == "[" + ",".join(line.decode() for line in lines) + "]"


def test_events_have_no_last_image_and_snapshot_false_sends_none(gateway: RunningGateway) -> None:
    gateway.publish(cast.depth("FPT", 1), cast.trade("FPT", 1))
    gateway.until(lambda: gateway.layer.hub.records_in == 2, "two records in")
    client = gateway.connect()
    client.frame()
    client.subscribe("trade", "FPT")
    client.subscribe("depth", "FPT", snapshot=False)
    gateway.publish(cast.trade("FPT", 2), cast.depth("FPT", 2))
    assert numbers(client.records(2)) == [("trade", "FPT", 2), ("depth", "FPT", 2)]


def test_unsub_ends_the_stream_and_list_shows_the_states(gateway: RunningGateway) -> None:
    client = gateway.connect()
    client.frame()
    client.subscribe("trade", "FPT")
    client.subscribe("trade", "VNM")
    gateway.publish(cast.trade("FPT", 1))
    client.records(1)
    listing = client.ask(op="list", id=9)
    assert [(row["sid"], row["symbols"], row["state"]) for row in listing["subscriptions"]] == [
        (1, ["FPT"], "running"), (2, ["VNM"], "waiting"),
    ]  # fmt: skip
    assert client.states == [(1, "running")]
    assert client.ask(op="unsub", id=10, sid=1) == {"t": "unsub", "id": 10, "sid": 1, "state": "closed"}
    gateway.publish(cast.trade("FPT", 2), cast.trade("VNM", 1))
    assert numbers(client.records(1)) == [("trade", "VNM", 1)]
    assert client.ask(op="unsub", id=11, sid=1)["code"] == "NOT_SUBSCRIBED"
    assert client.ask(op="ping", id=12)["t"] == "pong"


def test_depth_variants_are_cut_once_and_stated(gateway: RunningGateway) -> None:
    gateway.publish(cast.depth("FPT", 1))
    gateway.until(lambda: gateway.layer.hub.records_in == 1, "one record in")
    full, five, bob = gateway.connect(), gateway.connect(), gateway.connect("bob")
    for client in (full, five, bob):
        client.frame()
    assert full.subscribe("depth", "FPT")["granted"]["depth"] == 10
    assert five.subscribe("depth", "FPT", depth=5)["granted"]["depth"] == 5
    assert bob.subscribe("depth", "FPT", depth=10)["granted"]["depth"] == 3  # his product's level
    gateway.publish(cast.depth("FPT", 2))
    for client, levels in ((full, 10), (five, 5), (bob, 3)):
        for one in client.records(2):
            assert (len(one["b"]), len(one["a"]), one["tb"], one["ta"]) == (levels, levels, 1, 2)
            assert one["b"] == [[100 - i, 10 * (i + 1)] for i in range(levels)]


def test_wildcard_follows_streams_that_come_later(gateway: RunningGateway) -> None:
    client = gateway.connect()
    client.frame()
    gateway.publish(cast.trade("FPT", 1))
    assert client.subscribe("trade", "*")["ok"] == ["*"]
    gateway.publish(cast.trade("FPT", 2), cast.trade("NEW", 1), cast.depth("FPT", 1))
    assert numbers(client.records(2)) == [("trade", "FPT", 2), ("trade", "NEW", 1)]
    assert client.subscribe("trade", "FPT")["errors"][0]["code"] == "BAD_PARAM"


def test_a_replay_is_followed_by_its_origin_and_kept_apart(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    players = Players()
    players.jobs[12] = PlayedJob(None, 0)
    monkeypatch.setattr(replays, "_port", players)
    live, replay = gateway.connect(), gateway.connect()
    for client in (live, replay):
        client.frame()
    live.subscribe("trade", "FPT")
    assert replay.subscribe("trade", "FPT", origin="replay:12")["granted"]["origin"] == "replay:12"
    replay.subscribe("status", "replay:12", origin="replay:12")
    gateway.publish(cast.trade("FPT", 7))
    gateway.publish(cast.trade("FPT", 1, job="replay:12"), origin="replay:12")
    end = cast.record("status", "replay:12", 1, job="replay:12", m=None, bd=None, mt="replay", event="end")
    gateway.publish(end, origin="replay:12")
    gateway.publish(cast.trade("FPT", 1, job="replay:13"), origin="replay:13")
    assert [(one["job"], one["ch"]) for one in replay.records(2)] == [("replay:12", "trade"), ("replay:12", "status")]
    assert numbers(live.records(1)) == [("trade", "FPT", 7)]
    replay.socket.close()
    gateway.until(lambda: list(gateway.layer.hub.origins) == ["live"], "the replay's streams are forgotten")
    assert gateway.worker.stats()["unheard"] == 1  # nobody followed replay:13


def test_a_redelivered_message_is_dropped_and_a_jump_is_counted(gateway: RunningGateway) -> None:
    client = gateway.connect()
    client.frame()
    client.subscribe("trade", "FPT")
    gateway.publish(cast.trade("FPT", 1), cast.trade("FPT", 2), first=1)
    gateway.publish(cast.trade("FPT", 1), cast.trade("FPT", 2), first=1)
    gateway.publish(cast.trade("FPT", 2), cast.trade("FPT", 3), first=2)
    gateway.publish(cast.trade("FPT", 6), first=6)
    assert [one["n"] for one in client.records(4)] == [1, 2, 3, 6]
    stats = gateway.worker.stats()
    # 3 came again by themselves; of three looks in vain for the lost two, each further back, two ended at the jump
    # (6 that were there) and the last went on behind it (7).
    assert (stats["duplicate"], stats["lost"]) == (3 + 6 + 6 + 7, 2)


def test_a_broken_line_harms_itself_only(gateway: RunningGateway) -> None:
    client = gateway.connect()
    client.frame()
    client.subscribe("trade", "FPT")
    gateway.publish(cast.trade("FPT", 1), b'{"ch":"trade","s":"FPT"', b"", cast.trade("FPT", 2))
    assert [one["n"] for one in client.records(2)] == [1, 2]
    assert gateway.worker.stats()["unreadable"] == 2


def test_stop_closes_with_4000_and_a_jittered_retry(gateway: RunningGateway) -> None:
    client = gateway.connect()
    client.frame()
    client.subscribe("trade", "FPT")
    assert gateway.stop() < 3
    code, reason = closed_with(client)
    assert (code, reason["code"], 500 <= reason["retry_after_ms"] <= 5000) == (4000, "SHUTDOWN", True)
