"""The trading calendar: phases by market and weekday, holidays, half days, and what the next change is."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from feeds.krx.calendar import SpecialDay, TradingCalendar, TradingPhase
from feeds.krx.trading_day import TRADING_DAY


def seconds(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60


def at(text: str) -> int:
    """`2026-11-20 09:15` in Vietnam (UTC+7) as ns."""
    return int((datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() - 7 * 3600) * 1e9)


def calendar(*markets: str, special: tuple[SpecialDay, ...] = ()) -> TradingCalendar:
    phases = [
        TradingPhase(row.market, weekday, seconds(row.starts), seconds(row.ends), row.phase, row.expects_data)
        for row in TRADING_DAY
        if row.market in markets
        for weekday in range(5)
    ]
    return TradingCalendar(tuple(sorted(phases)), special)


FRIDAY, SATURDAY = "2026-11-20", "2026-11-21"
HOSE = calendar("STO", special=(SpecialDay(date(2026, 11, 24)), SpecialDay(date(2026, 11, 25), seconds("11:30"))))


@pytest.mark.parametrize(
    ("when", "phase", "expected"),
    [
        (f"{FRIDAY} 07:59:59", "closed", False),
        (f"{FRIDAY} 08:00", "preparation", False),
        (f"{FRIDAY} 09:00", "opening_auction", True),
        (f"{FRIDAY} 09:14:59.999", "opening_auction", True),
        (f"{FRIDAY} 09:15", "continuous", True),
        (f"{FRIDAY} 11:30", "lunch", False),
        (f"{FRIDAY} 13:00", "continuous", True),
        (f"{FRIDAY} 14:30", "closing_auction", True),
        (f"{FRIDAY} 14:50", "put_through", True),
        (f"{FRIDAY} 15:00", "end_of_day", False),
        (f"{FRIDAY} 15:30", "closed", False),
        (f"{SATURDAY} 10:00", "closed", False),
        ("2026-11-24 10:00", "closed", False),
        ("2026-11-25 11:29", "continuous", True),
        ("2026-11-25 13:30", "closed", False),
    ],
)
def test_a_moment_has_a_phase(when: str, phase: str, expected: bool) -> None:
    assert (HOSE.phase_at(at(when)), HOSE.expects_data(at(when))) == (phase, expected)


def test_of_several_markets_the_busiest_counts() -> None:
    both = calendar("STO", "DVX")
    assert both.phase_at(at(f"{FRIDAY} 08:50")) == "opening_auction"  # derivatives open first
    assert both.phase_at(at(f"{FRIDAY} 08:50"), "STO") == "preparation"
    assert (both.expects_data(at(f"{FRIDAY} 08:50")), both.expects_data(at(f"{FRIDAY} 08:50"), "STO")) == (True, False)


def test_a_day_begins_with_its_preparation() -> None:
    assert [HOSE.began(at(f"{FRIDAY} {clock}"), "STO") for clock in ("07:59", "08:00", "20:00")] == [False, True, True]
    assert not HOSE.began(at(f"{SATURDAY} 10:00"), "STO")
    assert HOSE.began(at(f"{FRIDAY} 10:00"), "BDO")  # without phases of its own: as the others of its feed


@pytest.mark.parametrize(
    ("when", "change"),
    [
        (f"{FRIDAY} 09:00", f"{FRIDAY} 09:15"),
        (f"{FRIDAY} 12:00", f"{FRIDAY} 13:00"),
        (f"{FRIDAY} 16:00", "2026-11-23 08:00"),
        ("2026-11-23 16:00", "2026-11-25 08:00"),
        ("2026-11-25 10:00", "2026-11-25 11:30"),
    ],
)
def test_the_next_change(when: str, change: str) -> None:
    assert HOSE.next_change_ns(at(when)) == at(change)


def test_without_phases_data_is_always_expected() -> None:
    unknown = TradingCalendar()
    assert (unknown.phase_at(0), unknown.expects_data(0), unknown.began(0, "STO")) == ("unknown", True, True)
    assert unknown.next_change_ns(0) is None
