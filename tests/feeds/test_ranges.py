"""Ranges behave as the set of their numbers, in order, disjoint, bounded."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from feeds.ranges import Ranges

NUMBERS = st.integers(1, 40)
SPANS = st.tuples(NUMBERS, st.integers(0, 8)).map(lambda pair: ("add", pair[0], pair[0] + pair[1]))
TAKEN = NUMBERS.map(lambda number: ("discard", number, number))


@given(st.lists(st.one_of(SPANS, TAKEN), max_size=40))
def test_as_a_set(steps: list[tuple[str, int, int]]) -> None:
    ranges, model = Ranges(), set[int]()
    for step, low, high in steps:
        if step == "add":
            ranges.add(low, high)
            model |= set(range(low, high + 1))
        else:
            assert ranges.discard(low) == (low in model)
            model.discard(low)
        assert [number in ranges for number in range(50)] == [number in model for number in range(50)]
        assert (ranges.count(), bool(ranges)) == (len(model), bool(model))
        held = list(ranges)
        assert ranges.frozen() == tuple(held)
        assert [n for a, b in held for n in range(a, b + 1)] == sorted(model)
        assert all(before[1] + 1 < after[0] for before, after in pairwise(held))
    assert list(Ranges(list(ranges))) == list(ranges)


def test_past_the_bound_the_oldest_is_forgotten() -> None:
    ranges = Ranges(ranges_max=3)
    for low in (1, 10, 20, 30, 40):
        ranges.add(low, low + 2)
    assert list(ranges) == [(20, 22), (30, 32), (40, 42)]


def test_splitting_keeps_the_bound() -> None:
    """A range of many numbers, every other one filled late."""
    ranges = Ranges([(1, 100)], ranges_max=5)
    for number in range(2, 100, 2):
        ranges.discard(number)
    assert len(list(ranges)) <= 5


def test_numbers_beyond_64_bits() -> None:
    ranges = Ranges([(5, 10**18)])
    assert (ranges.discard(10**17), 10**17 in ranges, ranges.count()) == (True, False, 10**18 - 5)


def test_a_value_is_shared_until_something_changes() -> None:
    ranges = Ranges([(1, 3)])
    first = ranges.frozen()
    assert ranges.discard(9) is False
    assert ranges.frozen() is first
    ranges.add(7, 8)
    second = ranges.frozen()
    ranges.discard(2)
    assert (first, second, ranges.frozen()) == (((1, 3),), ((1, 3), (7, 8)), ((1, 1), (3, 3), (7, 8)))
