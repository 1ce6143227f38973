"""Private replays of a session: started, steered, ended, and led over to the live stream without a hole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from subscriptions.gateway import replays
from subscriptions.gateway.replays import PlayedJob
from subscriptions.protocol import ProtocolError
from subscriptions.replay_operations import StartReplay
from tests.gateway import cast
from tests.gateway.running import Client, RunningGateway, running

START = "2026-11-20T02:15:00Z"
END = "2026-11-20T02:16:00Z"


class Players:
    """A port in memory: what was asked of it, and the states a test gives."""

    partitions = 2

    def __init__(self) -> None:
        self.asked: list[StartReplay] = []
        self.calls: list[tuple[Any, ...]] = []
        self.states: dict[int, str] = {}
        self.jobs: dict[int, PlayedJob] = {}  # that others may have made
        self.aged_out = False

    async def submit(self, asked: StartReplay, *, subscriber_id: int, now_ns: int) -> int:
        if self.aged_out:
            raise ProtocolError("REPLAY_AGED_OUT", "the journal reaches back to today", id=asked.id)
        self.asked.append(asked)
        self.states[11 + len(self.asked)] = "queued"
        return 11 + len(self.asked)

    async def send(self, job_id: int) -> None:
        self.calls.append(("send", job_id))

    async def control(self, job_id: int, do: str, to_ns: int | None) -> None:
        self.calls.append((do, job_id, to_ns) if to_ns else (do, job_id))

    async def extend(self, job_id: int, to_ns: int) -> None:
        self.calls.append(("extend", job_id, to_ns))

    async def find(self, job_id: int) -> PlayedJob | None:
        return self.jobs.get(job_id)

    async def look(self, job_ids: Iterable[int]) -> dict[int, str]:
        return {job_id: self.states[job_id] for job_id in job_ids}


@pytest.fixture
def players(monkeypatch: pytest.MonkeyPatch) -> Players:
    port = Players()
    monkeypatch.setattr(replays, "LOOK_S", 0.05)
    monkeypatch.setattr(replays, "_port", port)
    return port


@pytest.fixture
def gateway(tmp_path: Path, players: Players) -> Iterator[RunningGateway]:
    with running(tmp_path) as one:
        yield one


def ends(gateway: RunningGateway, origin: str, *partitions: int) -> None:
    for partition in partitions:
        end = cast.record(
            "status", origin, 1, job=origin, m=None, bd=None, mt="replay", event="end", partition=partition
        )
        gateway.publish(end, origin=origin)


def begin(gateway: RunningGateway, **changes: Any) -> tuple[Client, dict[str, Any]]:
    client = gateway.connect()
    client.frame()
    operation = {"op": "replay", "id": 20, "ch": "trade", "symbols": ["FPT"], "start": START, "end": END, "speed": 10}
    return client, client.ask(**(operation | changes))


def received(line: bytes, rx_ns: int) -> bytes:
    return line.replace(b'"rx":1,', b'"rx":%d,' % rx_ns)


def test_a_replay_flows_under_its_sid_and_says_its_end(gateway: RunningGateway, players: Players) -> None:
    client, reply = begin(gateway)
    assert (reply["t"], reply["id"], reply["sid"], reply["origin"], reply["ok"]) == (
        "replay",
        20,
        1,
        "replay:12",
        ["FPT"],
    )
    (asked,) = players.asked
    assert (asked.end_ns - asked.start_ns, asked.speed) == (60_000_000_000, 10.0)  # type: ignore[operator]
    gateway.until(lambda: players.calls == [("send", 12)], "the job goes once the reply is out")
    gateway.publish(cast.trade("FPT", 1, job="replay:12"), cast.trade("VNM", 1, job="replay:12"), origin="replay:12")
    gateway.publish(cast.trade("FPT", 7))
    while isinstance(frame := client.frame(), dict):
        assert frame["t"] == "state"
    assert [(one["s"], one["job"]) for one in frame] == [("FPT", "replay:12")]
    ends(gateway, "replay:12", 0)
    assert client.ask(op="list", id=21)["subscriptions"][0]["origin"] == "replay:12"
    ends(gateway, "replay:12", 1)
    assert client.frame() == {
        "t": "notice", "code": "REPLAY_END", "sid": 1, "job": "replay:12", "state": "completed",
    }  # fmt: skip
    assert client.ask(op="list", id=22)["subscriptions"] == []
    gateway.until(lambda: list(gateway.layer.hub.origins) == ["live"], "the replay's streams are forgotten")


def test_pause_resume_seek_and_cancel(gateway: RunningGateway, players: Players) -> None:
    client, reply = begin(gateway)
    sid = reply["sid"]
    assert client.ask(op="ctl", id=1, sid=sid, do="pause") == {"t": "ctl", "id": 1, "sid": sid, "do": "pause"}
    assert client.ask(op="ctl", id=2, sid=sid, do="seek", to="2026-11-20T02:15:30Z")["do"] == "seek"
    assert client.ask(op="ctl", id=3, sid=sid, do="seek", to=END)["code"] == "BAD_PARAM"
    assert client.ask(op="ctl", id=4, sid=sid, do="resume")["do"] == "resume"
    assert client.ask(op="ctl", id=5, sid=99, do="pause")["code"] == "NOT_SUBSCRIBED"
    assert client.ask(op="ctl", id=6, sid=sid, do="stop")["code"] == "BAD_PARAM"
    assert client.ask(op="ctl", id=7, sid=sid, do="cancel")["do"] == "cancel"
    assert client.ask(op="ctl", id=8, sid=sid, do="pause")["code"] == "NOT_SUBSCRIBED"
    start_ns = players.asked[0].start_ns
    assert players.calls == [
        ("send", 12), ("pause", 12), ("seek", 12, start_ns + 30_000_000_000), ("resume", 12), ("cancel", 12),
    ]  # fmt: skip


def test_then_live_has_no_hole_and_no_repeat(gateway: RunningGateway, players: Players) -> None:
    client, reply = begin(gateway, then="live")
    gateway.publish(received(cast.trade("FPT", 1, job="replay:12"), 5), origin="replay:12")
    ends(gateway, "replay:12", 0, 1)
    gateway.until(lambda: any(call[0] == "extend" for call in players.calls), "the job is extended")
    to_ns = players.calls[-1][2]
    # Live goes on meanwhile: what the replay will still bring, and what it will not.
    gateway.publish(received(cast.trade("FPT", 101), to_ns - 1), received(cast.trade("FPT", 102), to_ns))
    gateway.publish(received(cast.trade("FPT", 103), to_ns + 1))
    gateway.publish(received(cast.trade("FPT", 2, job="replay:12"), to_ns - 1), origin="replay:12")
    ends(gateway, "replay:12", 1, 0)
    gateway.until(lambda: gateway.worker.replays.handed_over == 1, "it went live")
    gateway.publish(received(cast.trade("FPT", 104), to_ns + 2))
    found: list[Any] = []
    while len(found) < 6:
        frame = client.frame()
        found += frame if isinstance(frame, list) else [frame] if frame.get("t") == "notice" else []
    assert [one.get("code") or (one.get("job"), one["n"]) for one in found] == [
        ("replay:12", 1), ("replay:12", 2), "REPLAY_END", (None, 102), (None, 103), (None, 104),
    ]  # fmt: skip
    assert found[2]["then"] == "live"
    rows = client.ask(op="list", id=30)["subscriptions"]
    assert [(row["sid"], row["origin"], row["symbols"]) for row in rows] == [(reply["sid"], "live", ["FPT"])]
    assert client.ask(op="unsub", id=31, sid=reply["sid"])["t"] == "unsub"


def test_what_cannot_be_replayed(gateway: RunningGateway, players: Players) -> None:
    players.aged_out = True
    client, reply = begin(gateway)
    assert reply["code"] == "REPLAY_AGED_OUT"
    players.aged_out = False
    good = {"op": "replay", "id": 20, "ch": "trade", "symbols": ["FPT"], "start": START, "end": END}
    for changes in (
        {"start": None},
        {"start": END, "end": START},
        {"speed": -1},
        {"symbols": ["F*"], "then": "live"},
        {"then": "never"},
        {"depth": 3},
    ):
        assert client.ask(**(good | changes))["code"] == "BAD_PARAM"
    assert players.asked == []
    stranger = gateway.connect(None)
    stranger.frame()
    refused = stranger.ask(op="replay", id=1, ch="index", symbols=["VNINDEX"], start=START)
    assert refused["code"] == "AUTH_REQUIRED"
    reply = client.ask(**(good | {"symbols": ["NOPE"]}))
    assert (reply["sid"], reply["errors"][0]["code"]) == (None, "SYMBOL_UNKNOWN")
    gateway.until(lambda: players.calls == [("cancel", 12)], "a replay without a symbol does not play")


def test_a_failed_player_is_told_and_a_gone_client_cancels(gateway: RunningGateway, players: Players) -> None:
    client, _ = begin(gateway)
    players.states[12] = "failed"
    assert (client.frame()["code"], len(gateway.worker.replays.playing)) == ("REPLAY_END", 0)
    client, _ = begin(gateway)
    client.socket.close()
    gateway.until(lambda: ("cancel", 13) in players.calls, "the job of a closed session is cancelled")
