"""A worker is killed in the middle of the traffic and started again: what is missing is what the system says is."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from testbed.system import System
from tests.end_to_end.follower import Follower, Record
from tests.end_to_end.traffic import Traffic
from tests.end_to_end.truth import (
    difference,
    expected_keys,
    gap_ranges,
    journaled,
    numbers,
    order_faults,
    received_keys,
)

pytestmark = [pytest.mark.services, pytest.mark.slow]

RATE = 1_500
BACK_S_MAX = 30.0
CAUGHT_UP_S_MAX = 30.0
SKEW_NS = 1_000_000_000  # partitions are not equally far, and the exchange's time is not the receive time


def test_a_killed_capture_misses_what_came_meanwhile_and_says_so(
    distributed: System, truth_path: Path, seed: int
) -> None:
    with Follower(distributed) as follower:
        traffic = Traffic(distributed, "STX", truth_path, rate=RATE, seed=seed)
        wait_for_more(follower)
        killed_ns = time.time_ns()
        distributed.kill("run_capture")
        time.sleep(1.0)
        distributed.start("run_capture", "run_capture")
        wait_for_more(follower)
        truth = traffic.stop()
        arrived = {data for _, data in journaled(distributed.data_dir / "journal" / "STX")}
        expected = expected_keys(message for message in truth if message.data in arrived)
        follower.wait_for_count(sum(expected.values()), timeout_s=CAUGHT_UP_S_MAX)
        follower.wait_until_quiet(idle_s=1.0, timeout_s=10)
        records = follower.records()
    missing = [message for message in truth if message.data not in arrived]
    assert missing, "the exchange went on while capture was down"
    datagrams = [message.datagram for message in missing]
    assert datagrams == list(range(datagrams[0], datagrams[-1] + 1)), "nothing but one stretch of time is missing"
    assert missing[0].at_ns > killed_ns - 100_000_000
    assert difference(expected, received_keys(records)) == {}
    assert order_faults(records) == []
    last = {(m.market, m.stream): m.sequence for m in truth if m.data in arrived}
    announced = {  # a loss at the end of a stream shows with its next message; nobody checks the sequence of M1
        (m.market, m.stream, m.sequence)
        for m in missing
        if m.msg_type != "M1" and m.sequence < last.get((m.market, m.stream), 0)
    }
    assert numbers(gap_ranges(records, "STX")) == announced


def test_a_killed_publisher_and_a_killed_parser_lose_nothing(distributed: System, truth_path: Path, seed: int) -> None:
    with Follower(distributed) as follower:
        traffic = Traffic(distributed, "DVX", truth_path, rate=RATE, seed=seed)
        for worker in ("run_publisher", "run_parser"):
            wait_for_more(follower)
            distributed.kill(worker)
            time.sleep(0.5)
            distributed.start(worker, worker)
        wait_for_more(follower)
        truth = traffic.stop()
        expected = expected_keys(truth)
        follower.wait_for_count(sum(expected.values()), timeout_s=CAUGHT_UP_S_MAX)
        follower.wait_until_quiet(idle_s=1.0, timeout_s=10)
        records = follower.records()
    assert difference(expected, received_keys(records)) == {}
    assert order_faults(records) == []
    assert gap_ranges(records, "DVX") == []
    assert len(follower.connections) == 1


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
def test_a_client_comes_back_to_a_restarted_gateway(
    distributed: System, truth_path: Path, seed: int, killed: bool
) -> None:
    with Follower(distributed) as follower:
        traffic = Traffic(distributed, "UPX", truth_path, rate=RATE, seed=seed)
        wait_for_more(follower)
        stopped_ns = time.time_ns()
        if killed:
            distributed.kill("run_gateway")
        else:
            assert distributed.stop("run_gateway") == 0
        distributed.start("run_gateway", "run_gateway")
        follower.wait_for(lambda: len(follower.connections) == 2, timeout_s=BACK_S_MAX)
        wait_for_more(follower)
        truth = traffic.stop()
        follower.wait_until_quiet(idle_s=1.0, timeout_s=20)
        first, second = follower.records_of(0), follower.records_of(1)
    assert first
    assert second
    assert order_faults(first) == order_faults(second) == []
    # A gateway that starts reads the last 30 s again; a busy one answers before it is through. What comes again then,
    # also from before this test, is the same, record by record, and goes on without a hole.
    had = {place(record): record for record in first}
    again = [record for record in second if place(record) in had]
    assert all(record == had[place(record)] for record in again)
    new = [r for r in second if place(r) not in had and r["m"] == "UPX" and r["rx"] >= truth[0].at_ns]
    expected = expected_keys(truth)
    received = received_keys([*first, *new])
    assert received - expected == Counter(), "nothing comes twice, nothing comes that was not sent"
    # What is missing was on its way while nobody was connected; every stream goes on behind it.
    missing = {(key.market, key.msg_type, key.sequence) for key in expected - received}
    times = [m.at_ns for m in truth if (m.market, m.msg_type, m.sequence) in missing]
    assert times or again
    if times:
        assert stopped_ns - SKEW_NS < min(times)
        assert max(times) < min(record["rx"] for record in new) + SKEW_NS
    last = {(record["ch"], record["s"]): record["n"] for record in first}
    assert all(record["n"] > last.get((record["ch"], record["s"]), 0) for record in new)


def place(record: Record) -> tuple[str, str, str, int]:
    """A record's stream, epoch and number."""
    return record["ch"], record["s"], record["ep"], record["n"]


def wait_for_more(follower: Follower) -> None:
    """Until more than a second's records have come since now."""
    seen = follower.count
    follower.wait_for(lambda: follower.count > seen + 2 * RATE, timeout_s=BACK_S_MAX)
