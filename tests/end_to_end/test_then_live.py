"""A replay that goes on live, through everything: what a client gets is what one that was there all the time got."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from testbed.system import System
from tests.end_to_end.follower import Follower, Record
from tests.replay.test_distributed import start_celery

FEED = "UPX"
RATE = 60
BEFORE, AFTER = 25, 20  # records of a stream in the past that is played, and that come live behind it
WAIT_S = 90.0
SETTINGS = [pytest.param("embedded"), pytest.param("distributed", marks=pytest.mark.services)]
CHANNELS = ("trade", "depth")
pytestmark = pytest.mark.slow


@pytest.fixture(params=SETTINGS)
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    """One that plays replays: the embedded one has its worker inside."""
    found: System = request.getfixturevalue(request.param)
    if found.distributed:
        start_celery(found)
    yield found
    if found.distributed:
        found.stop("celery", timeout_s=20)


@contextmanager
def trading(system: System) -> Iterator[None]:
    simulator = system.start(
        "trading", "run_simulator", "--feed", FEED, "--symbols", "2", "--rate", str(RATE), "--quiet"
    )
    try:
        yield
    finally:
        simulator.terminate()
        simulator.wait(10)
        del system.processes["trading"]


def by_stream(records: list[Record]) -> dict[tuple[str, str], list[Record]]:
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record["ch"], record["s"]), []).append(record)
    return found


def busiest(follower: Follower) -> str | None:
    """A symbol with enough of a past in both channels."""
    streams = by_stream(follower.records())
    enough = [
        symbol for channel, symbol in streams
        if channel == "trade" and all(len(streams.get((one, symbol), ())) > BEFORE + 15 for one in CHANNELS)
    ]  # fmt: skip
    return min(enough, default=None)


def moment(at_ns: int) -> tuple[str, int]:
    """An ISO time with microseconds, and what it says in nanoseconds."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1_000)
    return at.isoformat(), at_ns // 1_000 * 1_000


class Player:
    """A session with one replay for each channel that goes on live."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.records: dict[int, list[Record]] = {}  # by sid
        self.ends: dict[int, tuple[int, Record]] = {}  # sid → records before it, the notice
        self.sids: dict[str, int] = {}  # by channel
        self._answers: dict[Any, Record] = {}

    def ask(self, **message: Any) -> Record:
        self.socket.send(json.dumps(message))
        while message["id"] not in self._answers:
            self.take()
        return self._answers.pop(message["id"])

    def take(self) -> None:
        frame = json.loads(self.socket.recv(timeout=WAIT_S))
        if isinstance(frame, list):
            for one in frame:
                self.records.setdefault(self.sids[one["ch"]], []).append(one)
        elif "id" in frame:
            self._answers[frame["id"]] = frame
            if frame["t"] == "replay":
                self.sids[CHANNELS[frame["id"]]] = frame["sid"]
        elif frame.get("code") == "REPLAY_END":
            self.ends[frame["sid"]] = (len(self.records.get(frame["sid"], ())), frame)
        else:
            assert frame["t"] in ("welcome", "state", "hb"), frame

    def is_live(self, sid: int) -> bool:
        return sid in self.ends and len(self.records[sid]) >= self.ends[sid][0] + AFTER


JOBS = """
from replay.models import ReplayJob
for job in ReplayJob.objects.all():
    print(job, job.state, job.then_live, job.from_at, job.to_at, job.messages_sent, job.seen_at, job.claims, job.error)
"""


def state_of(system: System, player: Player) -> str:
    """For a failure: how far everybody is."""
    counts = {sid: len(records) for sid, records in player.records.items()}
    log = system.log("celery" if system.distributed else "run_all")[-1500:]
    return f"ends {player.ends}, records {counts}\n{system.manage('shell', '-v0', '-c', JOBS)}\n{log}"


def test_a_replay_goes_on_live_without_a_hole_or_a_repeat(system: System) -> None:
    with Follower(system, channels=CHANNELS) as follower, trading(system):
        follower.wait_for(lambda: busiest(follower) is not None, timeout_s=60)
        symbol = str(busiest(follower))
        past = by_stream(follower.records())
        starts_at_ns = min(past[channel, symbol][-BEFORE]["rx"] for channel in CHANNELS)
        start, start_ns = moment(starts_at_ns)
        end, _ = moment(max(past[channel, symbol][-5]["rx"] for channel in CHANNELS))
        headers = {"Authorization": f"Bearer {system.key}"}
        with connect(system.stream_url, additional_headers=headers, compression=None, max_queue=None) as socket:
            player = Player(socket)
            for number, channel in enumerate(CHANNELS):
                reply = player.ask(
                    op="replay", id=number, ch=channel, symbols=[symbol], start=start, end=end, speed=0, then="live"
                )
                assert reply["ok"] == [symbol], reply
            deadline = time.monotonic() + WAIT_S
            while not all(player.is_live(sid) for sid in player.sids.values()):
                assert time.monotonic() < deadline, state_of(system, player)
                player.take()
            listed = player.ask(op="list", id="list")["subscriptions"]
        assert {(row["sid"], row["origin"], row["state"]) for row in listed} == {
            (sid, "live", "running") for sid in player.sids.values()
        }
        last_ns = max(records[-1]["rx"] for records in player.records.values())
        follower.wait_for(lambda: follower.records()[-1]["rx"] > last_ns, timeout_s=20)
    truth = by_stream(follower.records())
    for channel, sid in player.sids.items():
        records, (played, notice) = player.records[sid], player.ends[sid]
        assert (notice["state"], notice["then"], notice["job"]) == ("completed", "live", records[0]["job"])
        assert played >= BEFORE - 5
        assert all("job" in one for one in records[:played])
        assert not any("job" in one for one in records[played:])
        wanted = [one for one in truth[channel, symbol] if start_ns <= one["rx"] <= records[-1]["rx"]]
        assert [(one["rx"], one["q"]) for one in records] == [(one["rx"], one["q"]) for one in wanted]
        live = [one["n"] for one in records[played:]]
        assert live == list(range(live[0], live[0] + len(live)))
