"""I2 over random faults: A + B = unique + duplicate + late; unique + missing = span; missing = the declared ranges."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.blocks import Entry
from tests.feeds.fault_scripts import Script, scripts, source
from tests.feeds.transcript import Transcript

quick = settings(max_examples=60, deadline=None)


def played(script: Script) -> tuple[Transcript, list[tuple[str, int]]]:
    """The transcript of a script and what was released, as (stream, sequence) in order."""
    t = Transcript()
    names = {data: key for key, data in script.sent.items()}
    released: list[tuple[str, int]] = []
    emit = t.arbiter.emit

    def watch(entry: Entry, capture_seq: int, key: bytes) -> None:
        released.append(names[entry[3]])
        emit(entry, capture_seq, key)

    t.arbiter.emit = watch
    for ms, line, data in script.arrivals:
        t.at(ms, line, data)
    t.arbiter.finish()
    return t, released


def declared(t: Transcript) -> list[tuple[str, int]]:
    gaps = [event for event in t.events if event[0] == "gap"]
    return [(str(gap[1]), number) for gap in gaps for number in range(int(str(gap[2])), int(str(gap[3])) + 1)]


@quick
@given(scripts())
def test_nothing_is_unaccounted(script: Script) -> None:
    t, released = played(script)
    lines, arbiter = t.arbiter.lines, t.arbiter
    duplicate, late = sum(c.duplicate for c in lines), sum(c.late for c in lines)
    spans: dict[str, list[int]] = {}
    arrived = {data for _, _, data in script.arrivals}
    for (stream, sequence), data in script.sent.items():
        if data in arrived:
            spans.setdefault(stream, []).append(sequence)
    # What came before the base of its stream when the wait of its beginning was over is an old copy, never a hole.
    bases = {stream: min(s for name, s in [*released, *declared(t)] if name == stream) for stream in spans}
    span = sum(max(sequences) - bases[stream] + 1 for stream, sequences in spans.items())
    assert [c.received for c in lines] == [sum(line == name for _, line, _ in script.arrivals) for name in "AB"]
    assert [c.received for c in lines] == [c.first + c.duplicate + c.late for c in lines]
    assert sum(c.received for c in lines) == arbiter.unique + duplicate + late
    assert arbiter.unique + arbiter.missing == span
    assert arbiter.missing == len(declared(t))
    assert len(released) == arbiter.unique + late


@quick
@given(scripts())
def test_nothing_twice_and_in_order(script: Script) -> None:
    t, released = played(script)
    assert [key for key, count in Counter(released).items() if count > 1] == []
    assert [key for key, count in Counter(declared(t)).items() if count > 1] == []
    late = [key for key in released if key in set(declared(t))]
    for stream in ("STO.market", "DVX.market", "STO.MT"):
        in_time = [s for name, s in released if name == stream and (name, s) not in set(late)]
        assert in_time == sorted(in_time)
    assert len(late) == sum(c.late for c in t.arbiter.lines)


@quick
@given(scripts())
def test_what_neither_line_brought_is_a_gap_or_beyond_the_last(script: Script) -> None:
    t, released = played(script)
    gaps = set(declared(t))
    last = {stream: max(s for name, s in released if name == stream) for stream, _ in released}
    first = {stream: min(s for name, s in [*released, *gaps] if name == stream) for stream in last}
    arrived = {data for _, _, data in script.arrivals}
    for (stream, sequence), data in script.sent.items():
        if stream in last and data not in arrived and first[stream] < sequence < last[stream]:
            assert (stream, sequence) in gaps
    assert {key for key in gaps if key not in set(released)} == {key for key in gaps if script.sent[key] not in arrived}


BURST_MS = 150  # less than the wait


@st.composite
def beginnings(draw: Any) -> list[tuple[int, str, int]]:
    """(ms, line, number) of a stream that begins anywhere: each line brings some of its first numbers, in any order,
    all of them within the wait; together they may have holes."""
    first = draw(st.integers(1, 40))
    numbers = st.lists(st.integers(first, first + 25), min_size=1, max_size=20, unique=True)
    brought = [("A", n) for n in draw(numbers)] + [("B", n) for n in draw(numbers)]
    return [(draw(st.integers(0, BURST_MS)), line, n) for line, n in draw(st.permutations(brought))]


@quick
@given(beginnings())
def test_both_lines_together_are_complete_from_the_lowest_number_on(arrivals: list[tuple[int, str, int]]) -> None:
    t = Transcript()
    for ms, line, number in sorted(arrivals, key=lambda arrival: arrival[0]):
        t.at(ms, line, source("STO.market", number))
    t.clock(BURST_MS + 1_000)
    numbers = {number for _, _, number in arrivals}
    assert [event[2] for event in t.events if event[0] != "gap"] == sorted(numbers)
    assert {n for _, n in declared(t)} == set(range(min(numbers), max(numbers))) - numbers
    assert t.late_starts == ([("STO", "market", min(numbers))] if min(numbers) > 1 else [])
    assert sum(c.disagreed for c in t.arbiter.lines) == 0
