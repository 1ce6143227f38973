"""The rules of contiguity, as lists of records in and gaps out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mdds_client.continuity import UNKNOWN_END, Continuity, Gap


def image(n: int, *, board: str = "G1", kind: str = "X", **members: Any) -> dict[str, Any]:
    return {"ch": "depth", "s": "FPT", "n": n, "ep": "e1", "bd": board, "mt": kind, **members}


class Transcript:
    """A Continuity with what it reported and accepted."""

    def __init__(self, *, snapshot: bool = True) -> None:
        self.gaps: list[Gap] = []
        self.accepted: list[int] = []
        self.continuity = Continuity(self.gaps.append, snapshot=snapshot)

    def play(self, records: Iterable[dict[str, Any]]) -> None:
        self.accepted += [record["n"] for record in records if self.continuity.accept(record)]

    @property
    def missing(self) -> list[tuple[int, int, str]]:
        return [(gap.first, gap.last, gap.why) for gap in self.gaps]


def test_last_images_of_several_boards_are_no_gap_in_any_order() -> None:
    transcript = Transcript()
    transcript.play([image(100), image(95, board="G4"), image(70, kind="W"), image(101), image(102, board="G4")])
    assert transcript.missing == []
    assert transcript.accepted == [100, 95, 70, 101, 102]


def test_a_loss_right_after_the_last_images_is_found_at_the_first_repeated_kind() -> None:
    transcript = Transcript()
    transcript.play([image(100), image(95, board="G4"), image(104)])
    assert transcript.missing == [(101, 103, "lost")]


def test_without_a_snapshot_the_first_record_is_live() -> None:
    transcript = Transcript(snapshot=False)
    transcript.play([image(7), image(9, board="G4")])
    assert transcript.missing == [(8, 8, "lost")]
    transcript.continuity.reconnected()
    transcript.play([image(12)])
    assert transcript.missing == [(8, 8, "lost"), (10, 11, "reconnect")]


def test_after_a_reconnect_exactly_what_did_not_come_is_missing() -> None:
    transcript = Transcript()
    transcript.play([image(1, kind="W"), image(2), image(3)])
    transcript.continuity.reconnected()
    transcript.play([image(9), image(6, board="G4"), image(1, kind="W"), image(10)])
    assert transcript.accepted == [1, 2, 3, 9, 6, 10]
    assert transcript.missing == [(4, 5, "reconnect"), (7, 8, "reconnect")]
    transcript.play([image(11), image(13)])
    assert transcript.missing[2:] == [(12, 12, "lost")]


def test_a_second_reconnect_does_not_lose_the_account_of_the_first() -> None:
    transcript = Transcript()
    transcript.play([image(1), image(2)])
    transcript.continuity.reconnected()
    transcript.play([image(5)])
    transcript.continuity.reconnected()
    transcript.play([image(8), image(9)])
    assert transcript.missing == [(3, 4, "reconnect"), (6, 7, "reconnect")]


def test_a_resumed_stream_goes_on_with_the_very_next_record() -> None:
    transcript = Transcript()
    transcript.play([image(1), image(2)])
    assert transcript.continuity.points() == {("depth", "FPT"): ("e1", 2)}
    transcript.continuity.reconnected()
    transcript.continuity.resumed("depth", "FPT", first=3)
    transcript.play([image(2), image(3), image(5)])
    assert transcript.accepted == [1, 2, 3, 5]
    assert transcript.missing == [(4, 4, "lost")]


def test_a_new_epoch_starts_at_one_or_says_what_it_missed() -> None:
    transcript = Transcript()
    transcript.play([image(1), image(2), image(1, ep="e2"), image(2, ep="e2"), image(3, ep="e3")])
    assert transcript.gaps == [Gap("depth", "FPT", "e3", 1, 2, "epoch")]


def test_merged_images_account_for_their_numbers_but_stats_have_a_price_called_c() -> None:
    transcript = Transcript()
    transcript.play([image(1), image(2), image(6, c=3), image(9, c=1)])
    assert transcript.missing == [(7, 8, "lost")]
    assert transcript.continuity.conflated == 3
    stats = Transcript()
    stats.play([image(n, c=98500) | {"ch": "stats"} for n in (1, 2, 6)])
    assert stats.missing == [(3, 5, "lost")]


def test_holes_in_images_are_no_loss_while_the_server_conflates_for_us() -> None:
    transcript = Transcript()
    transcript.play([image(1), image(2), image(3, board="G4"), image(4, board="G4")])
    transcript.continuity.conflate(True)
    transcript.play([image(7), image(12)])
    transcript.continuity.conflate(False)
    transcript.play([image(20), image(15, board="G4"), image(21)])
    assert (transcript.missing, transcript.accepted) == ([], [1, 2, 3, 4, 7, 12, 20, 15, 21])
    assert transcript.continuity.conflated == 2 + 4 + 2 + 4
    transcript.play([image(23)])
    assert transcript.missing == [(22, 22, "lost")]


def test_an_image_sent_again_late_is_news_if_its_kind_has_none_as_new() -> None:
    transcript = Transcript()
    transcript.play([image(1), image(2), image(3, board="G4")])
    transcript.continuity.conflate(True)
    transcript.play([image(9), image(8, board="G4"), image(8, board="G4"), image(9), image(3, board="G4")])
    assert transcript.accepted == [1, 2, 3, 9, 8]
    assert transcript.continuity.duplicates == 3


def test_trades_are_lost_even_while_the_server_conflates() -> None:
    transcript = Transcript()
    transcript.play([image(n) | {"ch": "trade"} for n in (1, 2)])
    transcript.continuity.conflate(True)
    transcript.play([image(5) | {"ch": "trade"}, image(4) | {"ch": "trade"}])
    assert (transcript.missing, transcript.accepted) == ([(3, 4, "lost")], [1, 2, 5])


def test_an_announced_range_that_the_stream_overtook_is_not_reported_again() -> None:
    transcript = Transcript()
    transcript.play([image(1), image(2), image(6)])
    transcript.continuity.announce("depth", "FPT", first=3, last=5, why="skipped")
    assert transcript.missing == [(3, 5, "lost")]


def test_an_announcement_without_an_end_covers_up_to_the_next_record_only() -> None:
    transcript = Transcript()
    transcript.play([image(1), image(2)])
    transcript.continuity.announce("depth", "FPT", first=3, last=None, why="epoch")
    transcript.play([image(7), image(9)])
    assert transcript.missing == [(3, UNKNOWN_END, "epoch"), (8, 8, "lost")]
    assert [gap.count for gap in transcript.gaps] == [None, 1]


def test_only_the_unannounced_rest_of_a_hole_is_lost() -> None:
    transcript = Transcript()
    transcript.play([image(1), image(2)])
    transcript.continuity.announce("depth", "FPT", first=5, last=6, why="skipped")
    transcript.continuity.announce("depth", "FPT", first=8, last=8, why="skipped")
    transcript.play([image(11)])
    assert transcript.missing == [
        (5, 6, "skipped"),
        (8, 8, "skipped"),
        (3, 4, "lost"),
        (7, 7, "lost"),
        (9, 10, "lost"),
    ]


@settings(deadline=None)  # a busy machine is no failure
@given(kept=st.sets(st.integers(3, 60)), cut=st.integers(3, 60))
def test_accepted_and_reported_numbers_partition_what_was_sent(kept: set[int], cut: int) -> None:
    """1, 2, 61 and 62 arrive, the others may be lost, a connection breaks at `cut`: each is accounted for."""
    transcript = Transcript()
    transcript.play([image(1), image(2)])
    numbers = [*sorted(kept), 61, 62]
    transcript.play(image(n) for n in numbers if n < cut)
    transcript.continuity.reconnected()
    transcript.play(image(n) for n in numbers if n >= cut)
    missing = [n for gap in transcript.gaps for n in range(gap.first, gap.last + 1)]
    assert sorted(transcript.accepted + missing) == list(range(1, 63))
