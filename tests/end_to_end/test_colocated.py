"""The embedded system with its parsers in the publisher, killed under load: a client has every record once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.ports import free_base_port
from testbed.system import System
from tests.end_to_end.conftest import WIDE_OUTBOX, prepare, wait_until_it_streams
from tests.end_to_end.follower import Follower
from tests.end_to_end.traffic import Traffic
from tests.end_to_end.truth import (
    difference,
    expected_keys,
    gap_ranges,
    order_faults,
    received_keys,
)

pytestmark = [pytest.mark.slow]

RATE = 1_000
CAUGHT_UP_S_MAX = 30.0


@pytest.fixture(scope="module")
def colocated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """`run_all --no-simulator` with MDDS_COLOCATED."""
    extra = {**WIDE_OUTBOX, "MDDS_COLOCATED": "1"}
    system = System(tmp_path_factory.mktemp("colocated") / "data", free_base_port(), extra=extra)
    try:
        prepare(system)
        system.start("run_all", "run_all", "--no-simulator")
        wait_until_it_streams(system)
        yield system
    finally:
        system.close()


def test_every_record_once(colocated: System, truth_path: Path, seed: int) -> None:
    with Follower(colocated) as follower:
        truth = Traffic(colocated, "STO", truth_path, rate=RATE, seed=seed, seconds=3).wait()
        expected = expected_keys(truth)
        follower.wait_for_count(sum(expected.values()), timeout_s=CAUGHT_UP_S_MAX)
        follower.wait_until_quiet(idle_s=0.5, timeout_s=10)
        records = follower.records()
    assert difference(expected, received_keys(records)) == {}
    assert order_faults(records) == []
    assert gap_ranges(records, "STO") == []
    assert "parser/parser" in colocated.stats(), "it has figures of its own"


def test_the_whole_process_is_killed(colocated: System, truth_path: Path, seed: int) -> None:
    """What is published after the restart goes on behind what a client had before it, number by number. What is parsed
    again because no checkpoint had it is the same record under the same number: whoever is back so soon drops it."""
    with Follower(colocated, channels=("trade",)) as follower:
        traffic = Traffic(colocated, "STX", truth_path, rate=RATE, seed=seed)
        follower.wait_for(lambda: follower.count > RATE, timeout_s=CAUGHT_UP_S_MAX)
        colocated.kill("run_all")
        time.sleep(0.3)
        colocated.start("run_all", "run_all", "--no-simulator")
        follower.wait_for(lambda: len(follower.connections) == 2, timeout_s=CAUGHT_UP_S_MAX)
        seen = follower.count
        follower.wait_for(lambda: follower.count > seen + RATE, timeout_s=CAUGHT_UP_S_MAX)
        traffic.stop()
        follower.wait_until_quiet(idle_s=1.0, timeout_s=20)
        first, second = follower.records_of(0), follower.records_of(1)
    assert order_faults(first) == order_faults(second) == []
    had = {(record["ch"], record["s"], record["ep"], record["n"]): record for record in first}
    new = [record for record in second if had.get((record["ch"], record["s"], record["ep"], record["n"])) != record]
    assert max(received_keys([*first, *new]).values()) == 1, "nothing comes twice"
    last = {(record["ch"], record["s"]): record["n"] for record in first}
    assert all(record["n"] > last.get((record["ch"], record["s"]), 0) for record in new)
    assert len(new) > RATE // 2
