"""Who may follow a replay: its owner and, where an operator made it, any key with the scope; delays hold for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from subscriptions.entitlements import Grant
from subscriptions.gateway import replays
from subscriptions.gateway.replays import NEVER_NS, PlayedJob
from tests.gateway import cast
from tests.gateway.running import Client, RunningGateway, running
from tests.gateway.test_replays import Players

DELAY_S = 900
NS = 1_000_000_000
OWN, ANOTHERS, OPERATORS, GOES_ON = 12, 13, 14, 15


def late() -> Grant:
    rule = cast.rule({"trade", "status"}, timeliness="delayed", delay_s=DELAY_S)
    return cast.grant(rule, subscriber_id=3, subscriber="late", key_id="late0001")


@pytest.fixture
def players(monkeypatch: pytest.MonkeyPatch) -> Players:
    port = Players()
    monkeypatch.setattr(replays, "_port", port)
    return port


@pytest.fixture
def gateway(tmp_path: Path, players: Players) -> Iterator[RunningGateway]:
    with running(tmp_path) as one:
        one.keys.grants["late"] = late()
        one.keys.grants["watching"] = cast.grant(
            cast.rule({"trade"}), subscriber_id=-7, subscriber="operator-7", key_id="operator:7"
        )
        yield one


def opened(gateway: RunningGateway, key: str) -> Client:
    client = gateway.connect(key)
    client.frame()
    return client


def clock_text(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / NS, UTC).isoformat()


def test_another_subscribers_replay_does_not_exist(gateway: RunningGateway, players: Players) -> None:
    players.jobs = {OWN: PlayedJob(1, 0), ANOTHERS: PlayedJob(2, 0), OPERATORS: PlayedJob(None, 0)}
    client = opened(gateway, "alice")
    refusals = [client.subscribe("trade", "FPT", origin=f"replay:{job}") for job in (ANOTHERS, 99, 10**18 - 1)]
    assert [(one["t"], one["code"], one["fatal"]) for one in refusals] == [("error", "NOT_FOUND", False)] * 3
    assert len({one["msg"].rpartition("replay:")[0] for one in refusals}) == 1, "the texts tell them apart"
    for job in (OWN, OPERATORS):
        assert client.subscribe("trade", "FPT", origin=f"replay:{job}")["ok"] == ["FPT"]
    gateway.publish(cast.trade("FPT", 1, job=f"replay:{ANOTHERS}"), origin=f"replay:{ANOTHERS}")
    gateway.publish(cast.trade("FPT", 2, job=f"replay:{OWN}"), origin=f"replay:{OWN}")
    assert [one["job"] for one in client.records(1)] == [f"replay:{OWN}"]


def test_a_replay_that_somebody_else_will_make_cannot_be_waited_for(gateway: RunningGateway, players: Players) -> None:
    client = opened(gateway, "alice")
    assert client.subscribe("trade", "*", origin=f"replay:{ANOTHERS}")["code"] == "NOT_FOUND"
    assert client.subscribe("status", f"replay:{ANOTHERS}", origin=f"replay:{ANOTHERS}")["code"] == "NOT_FOUND"
    players.jobs[ANOTHERS] = PlayedJob(2, 0)
    gateway.publish(cast.trade("FPT", 1, job=f"replay:{ANOTHERS}"), origin=f"replay:{ANOTHERS}")
    assert client.ask(op="list", id=9)["subscriptions"] == []
    gateway.until(lambda: gateway.layer.hub.unheard == 1, "nobody hears it")


def test_operators_watch_every_replay(gateway: RunningGateway, players: Players) -> None:
    players.jobs[ANOTHERS] = PlayedJob(2, 0)
    client = opened(gateway, "watching")
    for job in (ANOTHERS, 99):
        assert client.subscribe("trade", "FPT", origin=f"replay:{job}")["ok"] == ["FPT"]


def test_a_delayed_right_follows_a_range_that_is_late_enough(gateway: RunningGateway, players: Players) -> None:
    now_ns = time.time_ns()
    players.jobs = {
        OPERATORS: PlayedJob(None, now_ns - (DELAY_S + 5) * NS),
        OWN: PlayedJob(3, now_ns - (DELAY_S - 60) * NS),
        GOES_ON: PlayedJob(3, NEVER_NS),
    }
    client = opened(gateway, "late")
    assert client.subscribe("trade", "FPT", origin=f"replay:{OPERATORS}")["ok"] == ["FPT"]
    for job in (OWN, GOES_ON):
        reply = client.subscribe("trade", "FPT", origin=f"replay:{job}")
        assert (reply["sid"], [one["code"] for one in reply["errors"]]) == (None, ["DELAYED_ONLY"])
        assert client.subscribe("trade", "*", origin=f"replay:{job}")["errors"][0]["code"] == "DELAYED_ONLY"


def test_the_last_minutes_are_not_replayed_to_a_delayed_right(gateway: RunningGateway, players: Players) -> None:
    now_ns = time.time_ns()
    asked = {"op": "replay", "id": 20, "ch": "trade", "symbols": ["FPT"], "start": clock_text(now_ns - 3600 * NS)}
    client = opened(gateway, "late")
    granted = client.ask(**asked)
    assert granted["ok"] == ["FPT"]
    (job,) = players.asked
    assert 0 <= now_ns + 60 * NS - (job.end_ns or 0) - DELAY_S * NS <= 60 * NS  # cut: until as late as the right is
    assert datetime.fromisoformat(granted["end"]).timestamp() == pytest.approx((job.end_ns or 0) / NS, abs=0.002)
    fresh = client.ask(**asked, end=clock_text(now_ns - (DELAY_S - 60) * NS))
    assert (fresh["sid"], fresh["errors"][0]["code"]) == (None, "DELAYED_ONLY")
    gateway.until(lambda: ("cancel", 13) in players.calls, "a replay that nobody may follow does not play")
    assert client.ask(**asked | {"start": clock_text(now_ns - 60 * NS)})["code"] == "DELAYED_ONLY"
    assert client.ask(**asked, then="live")["code"] == "DELAYED_ONLY"
    assert len(players.asked) == 2


def test_a_right_that_becomes_delayed_ends_a_fresh_replay(gateway: RunningGateway, players: Players) -> None:
    now_ns = time.time_ns()
    players.jobs = {OWN: PlayedJob(1, now_ns), OPERATORS: PlayedJob(None, now_ns - (DELAY_S + 5) * NS)}
    client = opened(gateway, "alice")
    for job in (OWN, OPERATORS):
        assert client.subscribe("trade", "FPT", origin=f"replay:{job}")["ok"] == ["FPT"]
    less = cast.grant(cast.rule({"trade"}, timeliness="delayed", delay_s=DELAY_S))
    gateway.keys.grants["alice"] = less
    gateway.call(lambda: next(iter(gateway.layer.seats.values())).session.regrant(less))
    ended = client.frame()
    assert (ended["code"], ended["sid"], ended["action"]) == ("DELAYED_ONLY", 1, "unsubscribed")
    assert [row["sid"] for row in client.ask(op="list", id=9)["subscriptions"]] == [2]
