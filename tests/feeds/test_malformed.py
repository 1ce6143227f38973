"""A malformed message is one dead letter with reason and offset; its neighbours are delivered, nothing twice."""

from __future__ import annotations

import json

import pytest

from feeds.blocks import FLAG_TRUNCATED
from tests.feeds.data_path import A, B, DataPath
from tests.feeds.malformed_cases import ALL, EXPECTED, Case
from tests.feeds.wire import trade

BEFORE, LEFT, RIGHT, AFTER = (trade(n) for n in (1, 2, 3, 4))


def delivered(path: DataPath) -> list[tuple[int, str]]:
    """(source sequence, channel) of every record; each is one valid JSON object."""
    rows = [json.loads(record) for record in path.records]
    assert [row["n"] for row in rows if row["ch"] == "trade"] == list(range(1, 1 + len(rows) // 2))
    return [(row["q"], row["ch"]) for row in rows]


NEIGHBOURS = [(n, channel) for n in (1, 2, 3, 4) for channel in ("trade", "stats")]


@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_one_dead_letter_between_its_neighbours(case: Case) -> None:
    path = DataPath()
    path.on_both(BEFORE, LEFT + case.data + RIGHT, AFTER)
    path.finish()
    offset = case.at if isinstance(case.at, int) else case.data.index(case.at)
    assert [(d.reason, d.offset, d.data) for d in path.dead] == [(case.reason, offset, case.data)]
    assert delivered(path) == NEIGHBOURS
    assert (path.counts.dead, path.stage.arbiter.missing) == ({case.reason: 1}, 0)


@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_alone_in_its_datagram(case: Case) -> None:
    path = DataPath()
    path.on_both(BEFORE, LEFT, case.data, RIGHT, AFTER)
    path.finish()
    assert [(d.reason, d.data) for d in path.dead] == [(case.reason, case.data)]
    assert delivered(path) == NEIGHBOURS


@pytest.mark.parametrize("cut", range(1, len(EXPECTED)))
def test_cut_at_a_byte(cut: int) -> None:
    path = DataPath()
    path.arrive(BEFORE + LEFT + EXPECTED[:cut], EXPECTED[cut:] + RIGHT, AFTER)
    path.finish()
    assert b"".join(letter.data for letter in path.dead) == EXPECTED
    assert delivered(path) == NEIGHBOURS


def test_an_empty_datagram_is_nothing() -> None:
    path = DataPath()
    path.on_both(BEFORE, LEFT, b"", RIGHT, AFTER)
    path.finish()
    assert (path.dead, delivered(path)) == ([], NEIGHBOURS)


def test_a_truncated_datagram_keeps_its_whole_messages() -> None:
    path = DataPath()
    path.arrive(BEFORE)
    path.arrive(LEFT + RIGHT + EXPECTED[:90], flags=FLAG_TRUNCATED)
    path.arrive(AFTER)
    path.finish()
    assert [(d.reason, d.data) for d in path.dead] == [("BODY_LENGTH", EXPECTED[:90])]
    assert delivered(path) == NEIGHBOURS


def test_garbage_before_between_and_after() -> None:
    path = DataPath()
    path.arrive(b"noise" + BEFORE + b"\x01" + LEFT + b"8=FIX" + RIGHT + AFTER + b"8=FIX.4.4\x019=1")
    path.finish()
    reasons = [("BEGIN_STRING", b"noise"), ("BEGIN_STRING", b"\x01"), ("BEGIN_STRING", b"8=FIX")]
    assert [(d.reason, d.data) for d in path.dead] == [*reasons, ("FIELD_ORDER", b"8=FIX.4.4\x019=1")]
    assert delivered(path) == NEIGHBOURS


def test_neighbours_behind_a_hundred_messages_and_garbage() -> None:
    """The bound on broken spans counts the broken ones only."""
    path = DataPath()
    path.arrive(b"".join(trade(n) for n in range(1, 101)) + b"noise" + trade(101))
    path.finish()
    assert [row[0] for row in delivered(path)[::2]] == list(range(1, 102))
    assert [d.data for d in path.dead] == [b"noise"]


def test_the_other_line_brings_what_one_line_broke() -> None:
    path = DataPath()
    broken = LEFT[:-2] + bytes([LEFT[-2] ^ 1]) + b"\x01"
    path.arrive(BEFORE, broken, RIGHT, AFTER, line=A)
    path.arrive(BEFORE, LEFT, RIGHT, AFTER, line=B)
    path.finish()
    assert [(d.reason, d.line) for d in path.dead] == [("CHECKSUM", A)]
    assert delivered(path) == NEIGHBOURS
