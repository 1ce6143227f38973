"""The schedule: absolute, with bursts, and without a flood after a pause; and the compressed day's clock."""

import pytest

from feeds.simulator.day import DAY_END_S, DAY_START_S, CompressedDay, clock
from feeds.simulator.pacing import BadBurst, Burst, Pace, burst_of

MS = 1_000_000


def total(pace: Pace, ms: int, step_ms: int = 1) -> int:
    return sum(pace.due(now * MS) for now in range(0, ms + 1, step_ms))


@pytest.mark.parametrize("rate", [0.5, 3, 333, 30_000])
@pytest.mark.parametrize("step_ms", [1, 7])
def test_the_rate_holds_over_time_without_drift(rate: float, step_ms: int) -> None:
    assert total(Pace(rate), 70_000, step_ms) == pytest.approx(rate * 70, abs=1)


def test_a_burst_multiplies_the_rate_at_the_end_of_its_interval() -> None:
    pace = Pace(1000, burst=Burst(10, 2, 30))
    by_second = [sum(pace.due((second * 1000 + ms) * MS) for ms in range(1000)) for second in range(30)]
    assert by_second[5] == pytest.approx(1000, abs=2)
    assert by_second[28:] == pytest.approx([10_000, 10_000], rel=0.01)


def test_a_late_caller_gets_one_second_and_the_rest_is_counted() -> None:
    pace = Pace(100)
    pace.due(0)
    assert pace.due(60_000 * MS) == 100
    assert pace.skipped == 5900


def test_what_is_given_back_is_due_again() -> None:
    pace = Pace(1000)
    pace.due(0)
    assert pace.due(100 * MS) == 100
    pace.give_back(40)
    assert pace.due(100 * MS) == 40


@pytest.mark.parametrize("text", ["10x:2s:30s", "10x:2s:every 30s", "10x:2:30"])
def test_the_ways_to_write_a_burst(text: str) -> None:
    assert burst_of(text) == Burst(10, 2, 30)


@pytest.mark.parametrize("text", ["", "10", "10x:2s", "10x:30s:2s", "ax:2s:30s"])
def test_a_broken_burst_says_what_was_expected(text: str) -> None:
    with pytest.raises(BadBurst, match=f"expected.*found '{text}'"):
        burst_of(text)


def test_the_compressed_day_runs_from_morning_to_close_and_never_back() -> None:
    day = CompressedDay(60)
    times = [day.time_at(tenth / 10) for tenth in range(700)]
    assert times[0] == DAY_START_S
    assert times == sorted(times)
    assert times[600:] == [DAY_END_S] * 100
    assert day.time_at(30) == pytest.approx(clock("11:30"))
