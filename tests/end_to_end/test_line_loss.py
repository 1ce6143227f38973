"""What one line loses the other brings; what both lose is announced as exactly that."""

from __future__ import annotations

from pathlib import Path

from feeds.simulator.truth import TruthMessage
from feeds.simulator.truth_gaps import arrived, missing_ranges
from testbed.system import System
from tests.end_to_end.follower import Follower, Record
from tests.end_to_end.truth import (
    difference,
    expected_keys,
    gap_ranges,
    order_faults,
    read_truth,
    received_keys,
)

RATE, SECONDS = 1_000, 8


def run(system: System, feed: str, truth_path: Path, *options: str) -> None:
    system.manage(
        "run_simulator", "--feed", feed, "--symbols", "40", "--rate", str(RATE), "--duration", str(SECONDS),
        "--truth", str(truth_path), "--quiet", *options,
    )  # fmt: skip


def late_starts(records: list[Record], feed: str) -> dict[tuple[str, str], int]:
    """By (market, stream): the last number of those that may have been sent before the feed was heard."""
    return {
        tuple(r["stream"].split(".")): r["to"]
        for r in records
        if r["mt"] == "feed" and r["s"] == f"feed:{feed}" and r["event"] == "late_start"
    }


def is_early(message: TruthMessage, early: dict[tuple[str, str], int]) -> bool:
    return message.sequence <= early.get((message.market, message.stream), 0)


def test_loss_on_line_a_alone_loses_nothing(embedded: System, truth_path: Path, seed: int) -> None:
    with Follower(embedded) as follower:
        run(embedded, "STO", truth_path, "--loss", "A:0.02", "--seed", str(seed))
        truth = read_truth(truth_path)
        follower.wait_until_quiet(idle_s=0.5, timeout_s=10)
        records = follower.records()
    assert len(truth) > RATE * SECONDS * 0.8
    lost = sum(1 for message in truth if message.fates[0])
    assert 0.01 < lost / len(truth) < 0.03, "the simulator lost 2 % on line A"
    # What line A lost before the first message of a stream that it brought may be from before our time: that is said.
    early = late_starts(records, "STO")
    assert all(m.fates[0] for m in truth if is_early(m, early)), "nothing but what line A lost"
    expected = expected_keys(m for m in truth if not is_early(m, early))
    assert difference(expected, received_keys(records)) == {}
    assert order_faults(records) == []
    assert gap_ranges(records, "STO") == []


def test_loss_on_both_lines_is_announced_as_exactly_those_ranges(embedded: System, truth_path: Path, seed: int) -> None:
    with Follower(embedded) as follower:
        run(embedded, "STX", truth_path, "--loss-both", "0.02", "--seed", str(seed))
        truth = read_truth(truth_path)
        # Nobody can know of what was lost before the first message of a stream that came, or, until there is another,
        # behind the last; and nobody checks the sequence of M1.
        seen: dict[tuple[str, str], list[int]] = {}
        for m in filter(arrived, truth):
            seen.setdefault((m.market, m.stream), []).append(m.sequence)
        ends = {stream: (came[0], came[-1]) for stream, came in seen.items() if stream[1] != "M1"}
        known = [
            m for m in truth if (end := ends.get((m.market, m.stream))) is not None and end[0] < m.sequence < end[1]
        ]
        follower.wait_until_quiet(idle_s=0.5, timeout_s=10)
        records = follower.records()
    lost = [m for m in truth if not arrived(m)]
    assert 0.01 < len(lost) / len(truth) < 0.03
    assert difference(expected_keys(m for m in truth if arrived(m)), received_keys(records)) == {}
    assert gap_ranges(records, "STX") == sorted(missing_ranges(known))
    assert order_faults(records) == []
