"""First copy wins, whichever line; holes are filled by the other line or become gaps with range and time."""

from __future__ import annotations

from dataclasses import asdict

from feeds.blocks import FLAG_TRUNCATED
from feeds.capture.sequencer import Sequencer
from tests.feeds.data_path import feed_config
from tests.feeds.transcript import Transcript
from tests.feeds.wire import ISIN, expected, heartbeat, message, trade

T = {n: trade(n) for n in range(1, 40)}
WAIT_MS = 200


def test_the_first_copy_wins() -> None:
    t = Transcript()
    t.at(1, "A", T[1])
    t.at(2, "B", T[1], T[2])
    t.at(3, "A", T[2], T[3])
    assert t.take() == [(1, "A", 1), (2, "B", 2), (3, "A", 3)]
    assert [(c.received, c.first, c.duplicate, c.late) for c in t.arbiter.lines] == [(3, 2, 1, 0), (2, 1, 1, 0)]


def test_what_one_line_lost_the_other_brings() -> None:
    t = Transcript()
    t.at(1, "A", T[1], T[3], T[5])
    assert t.take() == [(1, "A", 1)]
    t.at(2, "B", T[1], T[2], T[3], T[4])
    assert t.take() == [(2, "B", 2), (1, "A", 3), (2, "B", 4), (1, "A", 5)]
    t.clock(10_000)
    assert (t.take(), t.arbiter.gaps, t.arbiter.missing) == ([], 0, 0)


def test_what_both_lost_is_a_gap_after_the_wait_and_not_before() -> None:
    t = Transcript()
    t.at(100, "A", T[1], T[2])
    t.at(110, "A", T[6])
    t.at(111, "B", T[1], T[2], T[6])
    t.clock(110 + WAIT_MS)
    assert t.take() == [(100, "A", 1), (100, "A", 2)]
    t.clock(110 + WAIT_MS + 1)
    assert t.take() == [("gap", "STO.market", 3, 5, 100, 110), (110, "A", 6)]
    assert (t.arbiter.gaps, t.arbiter.missing, t.arbiter.unique) == (1, 3, 3)


def test_traffic_moves_the_clock_too() -> None:
    t = Transcript()
    t.at(0, "A", T[1], T[3])
    t.at(WAIT_MS + 1, "B", T[4])
    assert t.take() == [(0, "A", 1), ("gap", "STO.market", 2, 2, 0, 0), (0, "A", 3), (WAIT_MS + 1, "B", 4)]


def test_two_holes_wait_each_for_itself() -> None:
    t = Transcript()
    t.at(0, "A", T[1], T[3])
    t.at(150, "A", T[5])
    t.clock(WAIT_MS + 1)
    assert t.take() == [(0, "A", 1), ("gap", "STO.market", 2, 2, 0, 0), (0, "A", 3)]
    t.at(300, "B", T[4])
    assert t.take() == [(300, "B", 4), (150, "A", 5)]


def test_reordered_inside_the_window() -> None:
    t = Transcript()
    t.at(1, "A", T[1], T[4], T[3], T[2], T[5])
    assert t.take() == [(1, "A", n) for n in (1, 2, 3, 4, 5)]


def test_reordered_beyond_the_window_by_count() -> None:
    """The bound on what waits: at it the hole is given up though its time is not over."""
    t = Transcript(feed_config(gap_messages_max=3))
    t.at(1, "A", T[1], T[3], T[4])
    assert t.take() == [(1, "A", 1)]
    t.at(2, "A", T[5])
    assert t.take() == [("gap", "STO.market", 2, 2, 1, 1), (1, "A", 3), (1, "A", 4), (2, "A", 5)]


def test_a_late_copy_fills_its_gap_once() -> None:
    t = Transcript()
    t.at(0, "A", T[1], T[4])
    t.clock(WAIT_MS + 1)
    t.take()
    t.at(300, "B", T[3], T[2], T[5])
    t.at(301, "A", T[3], T[2])
    assert t.take() == [(300, "B", 3), (300, "B", 2), (300, "B", 5)]
    assert asdict(t.counts("B")) | {"last_rx_ns": 0} == {
        "received": 3, "first": 1, "duplicate": 0, "late": 2, "heartbeats": 0, "unframed": 0, "disagreed": 0,
        "last_rx_ns": 0,
    }  # fmt: skip
    assert (t.arbiter.unique, t.arbiter.missing, t.counts("A").duplicate) == (3, 2, 2)


def test_lines_that_disagree_are_counted_and_the_first_stands() -> None:
    t = Transcript()
    t.at(1, "A", T[1], trade(2, price="98500.0"))
    t.at(2, "B", T[1], trade(2, price="99900.0"), trade(3))
    assert t.take() == [(1, "A", 1), (1, "A", 2), (2, "B", 3)]
    assert (t.counts("B").disagreed, t.counts("B").duplicate, t.counts("A").disagreed) == (1, 2, 0)


def test_disagreement_about_a_message_that_waits() -> None:
    t = Transcript()
    t.at(1, "A", T[1], trade(3, price="98500.0"))
    t.at(2, "B", trade(3, price="99900.0"), T[2])
    assert t.take() == [(1, "A", 1), (2, "B", 2), (1, "A", 3)]
    assert t.counts("B").disagreed == 1


def test_streams_have_their_own_sequences() -> None:
    t = Transcript()
    foreign = message("MT", 50, (30001, "STO"), (55, "X"))
    t.at(1, "A", T[1], foreign, expected(2), expected(9, market="STX"), T[3])
    t.clock(2 + WAIT_MS)
    assert t.take() == [(1, "A", 1), (1, "A", 2), (1, "A", 3), (1, "A", 50), (1, "A", 9)]
    assert set(t.arbiter.by_name) == {("STO", "market"), ("STO", "MT"), ("STX", "market")}


def test_limit_expansion_shares_the_market_stream_on_dvx_only() -> None:
    t = Transcript()
    limits = ((20004, "G1"), (55, "F"), (1149, "1.0"), (1148, "1.0"))
    t.at(1, "A", trade(1, market="DVX"), message("MX", 2, (30001, "DVX"), *limits), trade(3, market="DVX"))
    t.at(2, "A", trade(1), message("MX", 7, (30001, "STO"), *limits), trade(2))
    t.clock(3 + WAIT_MS)
    assert [event[2] for event in t.take()] == [1, 2, 3, 1, 2, 7]
    assert set(t.arbiter.by_name) == {("DVX", "market"), ("STO", "market"), ("STO", "MX")}


def test_the_index_is_not_checked() -> None:
    t = Transcript()
    index = {n: message("M1", n, (30001, "STO"), (30167, "001"), (30217, f"{n}.0")) for n in (5, 6, 90, 2)}
    t.at(1, "A", index[5], index[90], index[2])
    t.at(2, "B", index[5], index[6])
    t.clock(10_000)
    assert t.take() == [(1, "A", 5), (1, "A", 90), (1, "A", 2), (2, "B", 6)]


def test_sequence_zero_is_skipped() -> None:
    t = Transcript()
    t.at(1, "A", T[1], trade(0), T[2])
    t.at(2, "B", trade(0))
    assert (t.take(), t.counts("B").duplicate) == ([(1, "A", 1), (1, "A", 0), (1, "A", 2)], 1)


def test_the_heartbeat_proves_the_line_not_the_sequence() -> None:
    t = Transcript()
    t.at(1, "A", T[1], heartbeat(77), T[2])
    t.at(2, "B", heartbeat(77), heartbeat(78))
    assert t.take() == [(1, "A", 1), (1, "A", 2)]
    assert [(c.heartbeats, c.duplicate, c.last_rx_ns // 1_000_000) for c in t.arbiter.lines] == [(1, 0, 1), (1, 1, 2)]


def test_many_messages_in_a_datagram_packed_differently_on_each_line() -> None:
    t = Transcript()
    t.at(1, "A", T[1] + T[2] + T[3], T[4])
    t.at(2, "B", T[1], T[2] + T[3], T[4] + T[5])
    assert t.take() == [(1, "A", 1), (1, "A", 2), (1, "A", 3), (1, "A", 4), (2, "B", 5)]
    assert [(c.received, c.first, c.duplicate) for c in t.arbiter.lines] == [(4, 4, 0), (5, 1, 4)]


def test_the_same_packed_datagram_twice_counts_its_messages() -> None:
    t = Transcript()
    t.at(1, "A", T[1] + T[2] + T[3])
    t.at(2, "B", T[1] + T[2] + T[3])
    assert [(c.received, c.first, c.duplicate) for c in t.arbiter.lines] == [(3, 3, 0), (3, 0, 3)]


def test_a_truncated_datagram_leaves_a_gap_for_what_was_cut() -> None:
    t = Transcript()
    t.at(1, "A", T[1])
    t.at(2, "A", T[2] + T[3][:100], flags=FLAG_TRUNCATED)
    t.at(3, "A", T[4])
    t.clock(1_000)
    assert t.take() == [
        (1, "A", 1), (2, "A", 2), (2, "A", "flags 17"), ("gap", "STO.market", 3, 3, 2, 3), (3, "A", 4),
    ]  # fmt: skip


def test_finish_declares_what_is_open() -> None:
    t = Transcript()
    t.at(1, "A", T[1], T[3], T[6])
    t.arbiter.finish()
    assert t.take() == [
        (1, "A", 1), ("gap", "STO.market", 2, 2, 1, 1), (1, "A", 3), ("gap", "STO.market", 4, 5, 1, 1), (1, "A", 6),
    ]  # fmt: skip


def test_a_stream_that_begins_late_is_known() -> None:
    t = Transcript()
    t.at(1, "A", T[20], T[21])
    t.clock(1 + WAIT_MS)
    assert (t.take(), t.late_starts) == ([], [])
    t.clock(2 + WAIT_MS)
    assert (t.take(), t.late_starts) == ([(1, "A", 20), (1, "A", 21)], [("STO", "market", 20)])


def test_the_first_messages_lost_on_one_line_only() -> None:
    """What the other line brings of the beginning, within the wait, goes before what came first."""
    t = Transcript()
    t.at(1, "A", T[4])
    t.at(90, "B", T[3], T[2], T[4])
    t.at(91, "A", T[6])
    assert t.take() == []
    t.clock(2 + WAIT_MS)
    assert (t.take(), t.late_starts) == ([(90, "B", 2), (90, "B", 3), (1, "A", 4)], [("STO", "market", 2)])
    t.at(210, "B", T[5], T[1])
    assert t.take() == [(210, "B", 5), (91, "A", 6)]
    assert (t.counts("B").duplicate, t.counts("B").disagreed) == (2, 0), "1 is older than the beginning"
    assert (t.arbiter.gaps, t.arbiter.missing, t.arbiter.unique) == (0, 0, 5)


def test_number_one_ends_the_wait() -> None:
    t = Transcript()
    t.at(1, "A", T[2], T[4])
    t.at(3, "B", T[1])
    assert (t.take(), t.late_starts) == ([(3, "B", 1), (1, "A", 2)], [])
    t.at(4, "B", T[2], T[3])
    assert t.take() == [(4, "B", 3), (1, "A", 4)]


def test_a_beginning_is_bounded_by_count() -> None:
    t = Transcript(feed_config(gap_messages_max=3))
    t.at(1, "A", T[8], T[9])
    assert t.take() == []
    t.at(2, "A", T[10])
    assert (t.take(), t.late_starts) == ([(1, "A", 8), (1, "A", 9), (2, "A", 10)], [("STO", "market", 8)])
    t.at(3, "B", T[7])
    assert t.take() == []


def test_an_old_copy_is_not_of_the_beginning() -> None:
    t = Transcript()
    t.at(1, "A", trade(5_000))
    t.at(2, "B", trade(3))
    t.clock(2 + WAIT_MS)
    assert (t.take(), t.late_starts) == ([(1, "A", 5_000)], [("STO", "market", 5_000)])


def test_a_beginning_that_a_cursor_cut_begins_again() -> None:
    t = Transcript()
    t.at(1, "A", T[20])
    (kept,) = (Sequencer.restore(stream.state()) for stream in t.arbiter.by_name.values())
    again = Transcript()
    again.arbiter.by_name["STO", "market"] = kept
    again.at(1, "A", T[20])
    again.at(2, "B", T[19])
    again.clock(2 + WAIT_MS)
    assert again.take() == [(2, "B", 19), (1, "A", 20)]


VNM = "VN000000VNM1"


def snapshot(sequence: int, isin: str = ISIN) -> bytes:
    return message("W", sequence, (30001, "STO"), (20004, "G1"), (55, isin))


def test_a_snapshot_waits_no_longer_than_till_the_next_message_of_its_instrument() -> None:
    """Behind it, it would put an older image in the place of a newer one; at a beginning and at a gap."""
    t = Transcript()
    t.at(1, "A", T[1])
    t.at(2, "A", snapshot(4))
    t.at(3, "A", trade(2, isin=VNM))
    assert t.take() == [(1, "A", 1), (3, "A", 2)], "another instrument's message says nothing of it"
    t.at(5, "A", T[3])
    assert (t.take(), t.late_starts) == ([(2, "A", 4), (5, "A", 3)], [("STO", "W", 4)])
    t.at(6, "A", snapshot(6), snapshot(8, VNM))
    t.at(9, "B", T[4])
    assert t.take() == [("gap", "STO.W", 5, 5, 2, 6), (6, "A", 6), (9, "B", 4)]
    t.at(10, "B", snapshot(7))
    assert t.take() == [(10, "B", 7), (6, "A", 8)]
    t.at(11, "A", T[5], trade(6, isin=VNM))
    assert (t.take(), t.arbiter.gaps) == ([(11, "A", 5), (11, "A", 6)], 1)


def test_a_snapshot_keeps_its_place_when_a_hole_is_filled() -> None:
    """What waits for the hole came before the snapshots, and what fills it before that."""
    t = Transcript()
    t.at(1, "A", T[1], T[3])
    t.at(2, "A", snapshot(2), snapshot(3, VNM), snapshot(5))
    t.at(3, "A", T[4])
    t.at(4, "B", T[2])
    assert t.take() == [
        (1, "A", 1), (4, "B", 2), (1, "A", 3), (2, "A", 2), (2, "A", 3), ("gap", "STO.W", 4, 4, 2, 2), (2, "A", 5),
        (3, "A", 4),
    ]  # fmt: skip
    t.clock(10_000)
    assert (t.take(), t.late_starts) == ([], [("STO", "W", 2)])


def test_a_snapshot_waits_for_what_came_before_it() -> None:
    """In front of it, an older image would be behind a newer one."""
    t = Transcript()
    t.at(1, "A", T[1], snapshot(1))
    t.at(2, "A", T[3], snapshot(2, VNM))
    t.at(3, "A", snapshot(3))
    assert t.take() == [(1, "A", 1), (1, "A", 1)], "whose message is missing nobody knows"
    assert t.arbiter.oldest_waiting() == 3
    t.at(4, "B", trade(2, isin=VNM))
    assert t.take() == [(4, "B", 2), (2, "A", 3), (2, "A", 2), (3, "A", 3)]
    assert (t.arbiter.gaps, t.arbiter.oldest_waiting()) == (0, None)


def test_a_snapshot_waits_no_longer_than_what_came_before_it() -> None:
    t = Transcript()
    t.at(1, "A", T[1], snapshot(1))
    t.at(2, "A", T[3])
    t.at(WAIT_MS, "A", snapshot(2))
    t.at(WAIT_MS + 1, "A", T[4])
    assert t.take() == [(1, "A", 1), (1, "A", 1)]
    t.clock(3 + WAIT_MS)
    assert t.take() == [
        ("gap", "STO.market", 2, 2, 1, 2), (2, "A", 3), (WAIT_MS, "A", 2), (WAIT_MS + 1, "A", 4),
    ]  # fmt: skip
    t.clock(10_000)
    assert (t.take(), t.arbiter.gaps) == ([], 1)


def test_what_came_before_a_snapshot_goes_before_it_when_all_is_given_up() -> None:
    t = Transcript()
    t.at(1, "A", snapshot(1), T[1])
    t.at(2, "A", T[3], snapshot(2), snapshot(4), T[4])
    t.arbiter.finish()
    assert t.take() == [
        (1, "A", 1), (1, "A", 1), ("gap", "STO.market", 2, 2, 1, 2), (2, "A", 3), (2, "A", 2),
        ("gap", "STO.W", 3, 3, 2, 2), (2, "A", 4), (2, "A", 4),
    ]  # fmt: skip


def test_too_many_waiting_snapshots_are_released_behind_what_came_before() -> None:
    t = Transcript(feed_config(gap_messages_max=3))
    t.at(1, "A", T[1], snapshot(1))
    t.at(2, "A", T[3], snapshot(2), snapshot(3), snapshot(4))
    assert t.take() == [
        (1, "A", 1), (1, "A", 1), ("gap", "STO.market", 2, 2, 1, 2), (2, "A", 3), (2, "A", 2), (2, "A", 3), (2, "A", 4),
    ]  # fmt: skip
