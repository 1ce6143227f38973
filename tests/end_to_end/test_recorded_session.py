"""A recorded session that is played to a running system ends, at a client, in exactly the books and counts it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.system import System
from tests.conftest import SHARED_DATA
from tests.end_to_end.follower import Follower
from tests.end_to_end.recording import Outcome, make_session, read_outcome, received_outcome
from tests.end_to_end.truth import order_faults

RECORDED = SHARED_DATA / "recorded_session.cap"
SETTINGS = [pytest.param("embedded"), pytest.param("distributed", marks=pytest.mark.services)]


@pytest.fixture(params=SETTINGS)
def system(request: pytest.FixtureRequest) -> System:
    found: System = request.getfixturevalue(request.param)
    return found


def test_a_session_of_our_own(system: System, tmp_path: Path, seed: int) -> None:
    path = tmp_path / "own.cap"
    expected = make_session(path, seed=seed)
    assert len(expected.books) == 4
    assert min(expected.trades.values()) > 5
    assert {len(side) for ladder in expected.ladders.values() for side in ladder} >= {10}
    assert_played(system, path, expected)


if RECORDED.exists():

    def test_the_recorded_session(system: System) -> None:
        assert_played(system, RECORDED, read_outcome(RECORDED.with_suffix(".json")))


def assert_played(system: System, path: Path, expected: Outcome) -> None:
    with Follower(system, channels=("depth", "trade")) as follower:
        system.manage("play", str(path), "--feed", "DVX", "--speed", "0")
        follower.wait_for(lambda: follower.count >= expected.records, timeout_s=15)
        follower.wait_until_quiet(idle_s=0.3, timeout_s=5)
        records = follower.records()
    received = received_outcome(records)
    assert received.books == expected.books
    assert received.trades == expected.trades
    assert received.volumes == expected.volumes
    assert received.ladders == expected.ladders
    assert order_faults(records) == []
    for channel, counts in (("depth", expected.books), ("trade", expected.trades)):
        last = {record["s"]: record["n"] for record in records if record["ch"] == channel}
        assert last == dict(counts), f"{channel}: n counts the records of a stream"
