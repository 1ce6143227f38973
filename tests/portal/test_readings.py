"""Heartbeats as readings: lights by age, totals, rates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from portal.readings import Rates, Reading, flatten, worst

NOW = datetime(2026, 11, 20, 2, 15, tzinfo=UTC)


def reading(seconds: float = 0, *, pid: int = 1, stopped: bool = False, **stats: object) -> Reading:
    at = NOW + timedelta(seconds=seconds)
    return Reading("parser", "p0", "core-1", pid, NOW, at, at if stopped else None, stats)


@pytest.mark.parametrize(("age_s", "light"), [(0, "green"), (3, "green"), (3.1, "amber"), (10, "amber"), (11, "red")])
def test_the_light_is_the_age_of_the_heartbeat(age_s: float, light: str) -> None:
    assert reading().light(NOW + timedelta(seconds=age_s)) == light


def test_a_worker_that_was_stopped_is_grey_however_old() -> None:
    assert reading(stopped=True).light(NOW + timedelta(hours=1)) == "grey"


def test_the_worst_light_wins() -> None:
    assert worst(["green", "amber", "grey"]) == "amber"
    assert worst(["green", "red", "amber"]) == "red"
    assert worst([]) == "grey"


def test_totals_add_up_below_a_path_and_texts_do_not_count() -> None:
    one = reading(parsed={"X": 3, "M1": 4, "note": "text", "live": True}, dead=2)
    assert one.total("parsed") == 7
    assert one.total("parsed", "X") == 3
    assert one.total("dead") == 2
    assert one.total("nothing", "there") == 0
    assert dict(flatten(one.stats)) == {("parsed", "X"): 3.0, ("parsed", "M1"): 4.0, ("dead",): 2.0}


def test_rates_are_per_second_between_heartbeats() -> None:
    rates = Rates()
    rates.update([reading(0, parsed={"X": 100, "M1": 10})])
    assert not rates.known
    rates.update([reading(2, parsed={"X": 300, "M1": 20})])
    one = reading(2)
    assert (rates.of(one, "parsed", "X"), rates.of(one, "parsed"), rates.known) == (100, 105, True)


def test_a_heartbeat_read_twice_keeps_its_rates() -> None:
    rates = Rates()
    for seconds, total in ((0, 100), (1, 150), (1, 150)):
        rates.update([reading(seconds, dead=total)])
    assert rates.of(reading(1), "dead") == 50


def test_a_restarted_worker_begins_anew_and_no_rate_is_negative() -> None:
    rates = Rates()
    rates.update([reading(0, dead=100)])
    rates.update([reading(1, dead=200)])
    rates.update([reading(2, dead=5, pid=2)])
    assert rates.of(reading(2, pid=2), "dead") == 0
    rates.update([reading(3, dead=2, pid=2)])
    assert rates.of(reading(3, pid=2), "dead") == 0


def test_a_worker_that_is_gone_is_forgotten() -> None:
    rates = Rates()
    rates.update([reading(0, dead=1)])
    rates.update([reading(1, dead=2)])
    rates.update([])
    assert rates.of(reading(1), "dead") == 0
