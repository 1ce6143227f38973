"""What a player sends: exactly its range, in its time, with its origin, and an end."""

from __future__ import annotations

from pathlib import Path

import pytest

from feeds.capture.raw_stage import RawStage
from feeds.journal import JournalReader
from replay.checkpoints import Checkpoint
from replay.player import COMPLETED, STOPPED, Player, PlayOrder
from replay.sender import BusAway
from tests.replay.doubles import (
    FEED,
    SECOND_NS,
    START_NS,
    ManualClock,
    MemoryLedger,
    RecordingBus,
    both_lines,
    write_journal,
)


class Stand:
    """A player with its doubles over one journal."""

    def __init__(self, folder: Path, *, stop_after: int | None = None, refusals: int = 0) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.bus = RecordingBus(self.clock, refusals=refusals)
        self.ledger = MemoryLedger(stop_after=stop_after)

    async def play(
        self, from_s: float, to_s: float, *, speed: float = 0, cap: int = 1_000_000, resume: Checkpoint | None = None
    ) -> str:
        order = PlayOrder(
            from_ns=START_NS + round(from_s * SECOND_NS),
            to_ns=START_NS + round(to_s * SECOND_NS),
            speed=speed,
            messages_per_s_max=cap,
            resume=resume,
        )
        journal = JournalReader(self.folder)
        stage = RawStage(FEED, origin="replay:12")
        player = Player(order, journal=journal, stage=stage, bus=self.bus, ledger=self.ledger, clock=self.clock)
        try:
            return await player.run()
        finally:
            journal.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """1,000 messages on both lines, 10 ms apart: ten seconds."""
    return write_journal(tmp_path / "STO", both_lines(range(1, 1001)))


async def test_it_sends_the_range_once_under_its_origin_and_ends(journal: Path) -> None:
    stand = Stand(journal)
    assert await stand.play(2, 5) == COMPLETED
    assert stand.bus.sequences() == list(range(201, 501))
    assert {one.headers["origin"] for _at, one in stand.bus.messages} == {"replay:12"}
    assert sorted(stand.bus.ends()) == [0, 1]
    assert stand.ledger.reports[-1].messages_sent == 300
    assert stand.ledger.reports[-1].current_ns == START_NS + 5 * SECOND_NS


async def test_the_range_is_by_the_first_copy(journal: Path) -> None:
    """Line B's copy of message 200 came behind the start, but its first copy came before it: it is not in the range."""
    stand = Stand(journal)
    await stand.play(1.9905, 2.5)  # line A brought 200 at 1.990, line B at 1.991
    assert stand.bus.sequences() == list(range(201, 251))


async def test_what_came_on_line_b_alone_is_in_the_range(tmp_path: Path) -> None:
    entries = [one for one in both_lines(range(1, 401)) if one[1] == 1 or one[0] < START_NS + SECOND_NS]
    stand = Stand(write_journal(tmp_path / "STO", entries))
    await stand.play(0, 3)
    assert stand.bus.sequences() == list(range(1, 301))


async def test_a_message_that_waits_for_a_hole_at_the_end_is_not_lost(tmp_path: Path) -> None:
    """Message 100 comes late, after the end of the range; 101 came before it and waits in the stage."""
    entries = both_lines([*range(1, 100), 101, 100, *range(102, 300)])
    stand = Stand(write_journal(tmp_path / "STO", entries))
    await stand.play(0, 1.0)  # 101 at 0.99 s, 100 at 1.00 s
    assert stand.bus.sequences() == [*range(1, 100), 101]


async def test_speed_keeps_the_original_time_divided(journal: Path) -> None:
    stand = Stand(journal)
    began = stand.clock.now
    await stand.play(1, 3, speed=4)
    late_ns = [at - began - (entry[0] - START_NS - SECOND_NS) / 4 for at, entry in stand.bus.entries() if entry[2] == 0]
    assert len(late_ns) == 200
    assert min(late_ns) >= 0
    assert max(late_ns) < 5_000_000


async def test_as_fast_as_possible_does_not_exceed_the_rate_cap(journal: Path) -> None:
    stand = Stand(journal)
    began = stand.clock.now
    await stand.play(0, 10, cap=500)
    at = [at - began for at, entry in stand.bus.entries() if entry[2] == 0]
    assert len(at) == 1000
    assert max(at) >= 1.2 * SECOND_NS  # the last of 1,000 at 500/s; a batch of 400 goes at once
    assert sum(moment < SECOND_NS for moment in at) <= 500 + 400


async def test_a_stop_is_heard_within_half_a_second_and_nothing_is_sent_after_it(journal: Path) -> None:
    stand = Stand(journal, stop_after=4)
    began = stand.clock.now
    assert await stand.play(0, 10, speed=1) == STOPPED
    assert len(stand.ledger.reports) == 4
    assert stand.clock.now - began <= 4 * SECOND_NS // 2
    assert not stand.bus.ends()


@pytest.mark.parametrize("stop_after", [2, 3, 5, 9, 14])
async def test_a_killed_player_is_taken_up_at_its_checkpoint_with_nothing_missing(
    journal: Path, stop_after: int
) -> None:
    first = Stand(journal, stop_after=stop_after)
    assert await first.play(0, 8, speed=1) == STOPPED
    progress = first.ledger.reports[-1]
    row = progress.checkpoint.as_json() if progress.checkpoint else None
    second = Stand(journal)
    resume = Checkpoint.from_json(row) if row else None
    assert await second.play(0, 8, resume=resume) == COMPLETED
    sent = first.bus.sequences() + second.bus.sequences()
    assert sorted(set(sent)) == list(range(1, 801))
    assert second.ledger.reports[-1].messages_sent == 800
    if resume is not None:
        assert second.bus.sequences()[0] == resume.messages_sent + 1
        # What is sent twice is the same message for the parser: the same epoch, stream and sequence.
        epochs = {one.headers["epoch"] for stand in (first, second) for _at, one in stand.bus.messages}
        assert len(epochs) == 1
        # The second claim's chain begins at 1 and follows on nothing: the stage's own numbers mean nothing here.
        again = [one for _at, one in second.bus.messages]
        assert not any("from" in one.headers for one in again)
        for partition in {one.partition for one in again}:
            numbers = [one.headers["no"] for one in again if one.partition == partition]
            assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("first_end_s", [1.234, 4, 6.5])
async def test_a_job_that_goes_on_behind_its_end_leaves_nothing_out(journal: Path, first_end_s: float) -> None:
    """`then: live`: the same job is played on to a later end."""
    first, second = Stand(journal), Stand(journal)
    assert await first.play(0, first_end_s) == COMPLETED
    progress = first.ledger.reports[-1]
    resume = Checkpoint.from_json(progress.checkpoint.as_json()) if progress.checkpoint else None
    assert await second.play(0, 8, resume=resume) == COMPLETED
    assert sorted(set(first.bus.sequences() + second.bus.sequences())) == list(range(1, 801))


async def test_a_later_stop_leaves_a_later_checkpoint(journal: Path) -> None:
    stand = Stand(journal, stop_after=16)
    await stand.play(0, 10, speed=1)
    places = [one.checkpoint.offset for one in stand.ledger.reports if one.checkpoint]
    assert places == sorted(places)
    assert len(set(places)) > 1


async def test_a_bus_that_is_down_for_a_while_loses_nothing(journal: Path) -> None:
    stand = Stand(journal, refusals=5)
    assert await stand.play(0, 10) == COMPLETED
    assert stand.bus.sequences() == list(range(1, 1001))


async def test_a_bus_that_stays_away_fails_the_job(journal: Path) -> None:
    stand = Stand(journal, refusals=10**9)
    with pytest.raises(BusAway, match="the broker is away"):
        await stand.play(0, 10)
    assert stand.bus.messages == []


async def test_a_gap_inside_the_range_is_published_with_its_range(tmp_path: Path) -> None:
    entries = both_lines([*range(1, 101), *range(111, 301)])
    stand = Stand(write_journal(tmp_path / "STO", entries))
    await stand.play(0, 3)
    gaps = [entry[3] for _at, entry in stand.bus.entries() if entry[2] == 2]
    assert len(gaps) == FEED.partitions
    assert all(b'"from":101,"to":110' in one for one in gaps)


async def test_an_empty_range_sends_only_its_end(journal: Path) -> None:
    stand = Stand(journal)
    assert await stand.play(100, 200) == COMPLETED
    assert stand.bus.sequences() == []
    assert sorted(stand.bus.ends()) == [0, 1]
