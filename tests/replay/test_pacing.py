"""When each datagram of a replay is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.pacing import Pacer

MS = 1_000_000


def pacer(speed: float, *, cap: int = 1_000_000) -> Pacer:
    return Pacer(speed=speed, messages_per_s_max=cap, start_rx_ns=1_000 * MS, start_now_ns=50_000 * MS)


@pytest.mark.parametrize(("speed", "wait_ms"), [(1, 300), (10, 30), (0.5, 600), (0, 0)])
def test_speed_divides_the_original_time(speed: float, wait_ms: int) -> None:
    assert pacer(speed).wait_ns(1_300 * MS, now_ns=50_000 * MS) == wait_ms * MS


def test_a_datagram_from_before_the_start_is_due_at_once() -> None:
    assert pacer(1).wait_ns(900 * MS, now_ns=50_000 * MS) == 0


def test_rebase_starts_a_new_pair_of_times() -> None:
    one = pacer(2)
    one.rebase(start_rx_ns=9_000 * MS, start_now_ns=70_000 * MS)
    assert one.due_ns(9_500 * MS) == 70_250 * MS


def test_the_rate_cap_holds_as_fast_as_possible() -> None:
    one = pacer(0, cap=1_000)
    one.sent(400, now_ns=50_000 * MS)
    assert one.wait_ns(1_000 * MS, now_ns=50_000 * MS) == 400 * MS
    assert one.wait_ns(1_000 * MS, now_ns=50_400 * MS) == 0


def test_an_idle_time_is_not_saved_up() -> None:
    one = pacer(0, cap=1_000)
    one.sent(100, now_ns=50_000 * MS)
    one.sent(100, now_ns=60_000 * MS)
    assert one.wait_ns(1_000 * MS, now_ns=60_000 * MS) == 100 * MS


@pytest.mark.parametrize(("speed", "cap", "named"), [(-1, 10, "speed"), (1, 0, "messages_per_s_max")])
def test_impossible_values_are_named(speed: float, cap: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        pacer(speed, cap=cap)


@given(st.floats(0.01, 1000), st.integers(0, 10**12), st.integers(0, 10**12))
def test_what_the_horizon_lets_through_is_due(speed: float, rx_ns: int, later_ns: int) -> None:
    one = Pacer(speed=speed, messages_per_s_max=10, start_rx_ns=0, start_now_ns=0)
    horizon = one.horizon_rx_ns(later_ns)
    assert horizon is not None
    if rx_ns < horizon:
        assert one.due_ns(rx_ns) <= later_ns + 1
