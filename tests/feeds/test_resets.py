"""A sequence that begins anew: explained by a new session, or a reset that begins a new epoch for the feed."""

from __future__ import annotations

import pytest

from feeds.capture.sequencer import Sequencer
from tests.feeds.transcript import Event, Transcript
from tests.feeds.wire import Pair, message

BEGUN_MS = 300  # then nothing lower is waited for any more
EARLY, LATER = "20261120 02:15:00.123", "20261120 04:00:00.000"


def tick(sequence: int, sent: str = EARLY, market: str = "STO") -> bytes:
    body: list[Pair] = [(30001, market), (20004, "G1"), (55, "FPT"), (30552, "1.0"), (30553, "1")]
    return message("ME", sequence, *body, sent=sent)


def numbers(events: list[Event]) -> list[object]:
    return [event[0] if event[0] == "reset" else event[2] for event in events]


def started(*, at: int = 5_000) -> Transcript:
    t = Transcript()
    t.at(1, "A", tick(at - 1), tick(at))
    t.clock(BEGUN_MS)
    t.take()
    return t


def test_one_sent_later_is_a_reset() -> None:
    t = started(at=50)
    t.at(2, "A", tick(1, LATER), tick(2, LATER))
    t.at(3, "B", tick(1, LATER), tick(2, LATER), tick(3, LATER))
    assert numbers(t.take()) == ["reset", 1, 2, 3]
    assert (t.arbiter.resets, t.counts("B").duplicate) == (1, 2)


def test_one_after_silence_is_a_restarted_source() -> None:
    t = started(at=50)
    t.at(6_000, "A", tick(1, EARLY), tick(2, EARLY))
    assert numbers(t.take()) == ["reset", 1, 2]


def test_an_old_copy_of_one_is_no_reset() -> None:
    t = Transcript()
    t.at(1, "A", tick(1), tick(2), tick(3, LATER))
    t.take()
    t.at(2, "B", tick(1, "20261120 02:15:00.100"))
    assert (t.take(), t.arbiter.resets, t.counts("B").disagreed) == ([], 0, 1)


def test_far_back_and_sent_later_is_a_reset() -> None:
    t = started(at=5_000)
    t.at(2, "A", tick(101, LATER), tick(102, LATER))
    t.at(3, "B", tick(100, LATER))
    assert numbers(t.take()) == ["reset"]
    t.clock(BEGUN_MS)
    assert numbers(t.take()) == [100, 101, 102]


def test_far_back_and_sent_earlier_is_an_old_copy() -> None:
    t = started(at=5_000)
    t.at(2, "A", tick(100, "20261120 02:14:00.000"))
    assert (t.take(), t.arbiter.resets) == ([], 0)


def test_a_little_back_is_an_old_copy_whenever_it_was_sent() -> None:
    t = started(at=5_000)
    t.at(2, "A", tick(4_900, LATER), tick(5_001, LATER))
    assert (numbers(t.take()), t.arbiter.resets) == ([5_001], 0)


def test_a_reset_gives_up_what_waits_and_lets_other_streams_restart() -> None:
    t = started(at=5_000)
    t.at(2, "A", tick(300, market="STX"), tick(5_002))
    t.at(3, "A", tick(1, LATER), tick(1, LATER, "STX"), tick(2, LATER, "STX"))
    assert t.take() == [
        ("gap", "STO.market", 5_001, 5_001, 1, 2), (2, "A", 5_002), (2, "A", 300),
        ("reset",), (3, "A", 1), (3, "A", 1), (3, "A", 2),
    ]  # fmt: skip
    assert t.arbiter.resets == 1


def test_a_new_session_restarts_without_an_alarm() -> None:
    t = started(at=5_000)
    t.arbiter.new_session()
    t.at(2, "A", tick(1, "20261120 01:00:00.000"), tick(2))
    assert (numbers(t.take()), t.arbiter.resets) == ([1, 2], 0)


def test_a_stream_that_goes_on_over_a_new_session_goes_on() -> None:
    t = started(at=5_000)
    t.arbiter.new_session()
    t.at(2, "A", tick(5_001), tick(5_003))
    t.at(3, "B", tick(5_002))
    assert numbers(t.take()) == [5_001, 5_002, 5_003]


def test_a_stream_that_goes_on_and_then_begins_anew_gets_an_epoch() -> None:
    """Its new numbers would be the old copies of those that went on after midnight."""
    t = started(at=5_000)
    t.arbiter.new_session()
    t.at(400, "A", tick(5_001), tick(5_002))
    t.at(401, "A", tick(1, LATER, "STX"))
    assert numbers(t.take()) == [5_001, 5_002, 1], "STX is new"
    t.at(1_402, "A", tick(1, LATER), tick(2, LATER))
    t.at(1_403, "A", tick(1, "20261120 05:00:00.000", "STX"))
    assert numbers(t.take()) == ["reset", 1, 2, 1]
    assert t.arbiter.resets == 1


NEXT = "20261120 06:00:00.000"


def came_late() -> Transcript:
    """A capture that was started in the middle of a run, after its STX messages, and heard the next run whole: STX,
    new to it, has begun anew before STO tells the reset."""
    t = Transcript()
    t.at(1, "A", tick(20), tick(21))
    t.at(2, "A", tick(70, market="UPX"))
    t.clock(BEGUN_MS)
    t.at(2_000, "A", *(tick(n, LATER, "STX") for n in (1, 2)))
    t.at(2_001, "A", tick(1, LATER), tick(3, LATER, "STX"))
    return t


def test_one_who_came_late_counts_a_reset_once() -> None:
    t = came_late()
    t.at(2_002, "A", tick(4, LATER, "STX"), tick(1, LATER, "UPX"), tick(5, LATER, "STX"), tick(2, LATER))
    assert numbers(t.take()) == [20, 21, 70, 1, 2, "reset", 1, 3, 4, 1, 5, 2]
    assert not any(stream.may_restart for stream in t.arbiter.by_name.values()), "all are in their new numbers"


def test_one_who_came_late_knows_the_next_reset_by_its_first_message() -> None:
    t = came_late()
    t.at(2_002, "A", tick(1, LATER, "UPX"))
    t.take()
    t.at(4_000, "A", tick(1, NEXT, "STX"), tick(2, NEXT, "STX"), tick(1, NEXT), tick(1, NEXT, "UPX"))
    assert numbers(t.take()) == ["reset", 1, 2, 1, 1]


def test_what_began_in_an_earlier_run_begins_anew() -> None:
    """It began later than the stream that tells the reset was last heard, but before the pause."""
    t = Transcript()
    t.at(1, "A", tick(1), tick(1, market="STX"), tick(2, market="STX"))
    t.at(2_000, "A", tick(1, LATER), tick(1, LATER, "STX"), tick(2, LATER, "STX"))
    assert numbers(t.take()) == [1, 1, 2, "reset", 1, 1, 2]


@pytest.mark.parametrize("first", [2, 3, 60, 71, 72, 500])
def test_what_comes_first_after_a_reset_is_of_the_new_numbers(first: int) -> None:
    """A capture that was down when UPX began anew. Taken for old numbers that go on, they had a gap from 71, and a
    stream that may still begin anew has no place to tell the other publisher's gaps by."""
    t = Transcript()
    t.at(1, "A", tick(70, market="UPX"), tick(20))
    t.clock(BEGUN_MS)
    t.take()
    t.at(2_000, "A", tick(1, LATER))
    t.at(2_001, "A", tick(first, NEXT, "UPX"), tick(first + 1, NEXT, "UPX"))
    t.clock(2_001 + BEGUN_MS)
    assert numbers(t.take()) == ["reset", 1, first, first + 1]
    assert t.late_starts[-1] == ("UPX", "market", first)
    assert not t.arbiter.by_name["UPX", "market"].may_restart


def test_an_old_message_that_comes_after_a_reset_is_of_the_old_numbers() -> None:
    t = Transcript()
    t.at(1, "A", tick(1, market="UPX"), tick(1), tick(2))
    t.take()
    t.at(2, "A", tick(1, LATER))
    t.at(3, "B", tick(2, market="UPX"))
    t.at(4, "A", tick(1, LATER, "UPX"))
    assert numbers(t.take()) == ["reset", 1, 2, "reset", 1]


def test_a_cursor_knows_what_went_on() -> None:
    t = started(at=5_000)
    t.arbiter.new_session()
    t.at(400, "A", tick(5_001))
    (kept,) = (Sequencer.restore(stream.state()) for stream in t.arbiter.by_name.values())
    assert kept.went_on
    assert not Sequencer.restore(kept.state()[:7]).went_on, "written before it was kept"


def test_a_cursor_knows_the_reset() -> None:
    t = Transcript()
    t.at(1, "A", tick(1, market="UPX"), tick(1), tick(2))
    t.at(2, "A", tick(1, LATER))
    kept = Sequencer.restore(t.arbiter.by_name["UPX", "market"].state())
    assert (kept.may_restart, kept.renewed) == (True, LATER.encode())
