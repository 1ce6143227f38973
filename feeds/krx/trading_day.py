"""KRX's trading day as shipped: the table "The trading day" of its markets, for an operator to edit as rows.

The last quarter of an hour is put-through on HOSE and the post-close session on HNX. Before the open come the batches
(`d`, `ML`, `MF`, `MA`), after the close `M8`, the last `M1` and `MT`: data may come then, silence is no trouble.
"""

from __future__ import annotations

from typing import NamedTuple

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TRADING_DAYS = WEEKDAYS[:5]
PHASES = (
    "preparation",
    "opening_auction",
    "continuous",
    "lunch",
    "closing_auction",
    "post_close",
    "put_through",
    "end_of_day",
)


class DayRow(NamedTuple):
    """One phase of a market's day; times are local, "HH:MM"."""

    market: str
    phase: str
    starts: str
    ends: str
    expects_data: bool


def _rows(market: str, *phases: tuple[str, str, str]) -> tuple[DayRow, ...]:
    quiet = ("preparation", "lunch", "end_of_day")
    return tuple(DayRow(market, phase, starts, ends, phase not in quiet) for phase, starts, ends in phases)


_LUNCH = ("lunch", "11:30", "13:00")
_AFTERNOON = ("continuous", "13:00", "14:30")
_CLOSING = ("closing_auction", "14:30", "14:45")
_END = ("end_of_day", "15:00", "15:30")

TRADING_DAY: tuple[DayRow, ...] = (
    *_rows(
        "STO",
        ("preparation", "08:00", "09:00"),
        ("opening_auction", "09:00", "09:15"),
        ("continuous", "09:15", "11:30"),
        _LUNCH,
        _AFTERNOON,
        _CLOSING,
        ("put_through", "14:45", "15:00"),
        _END,
    ),
    *_rows(
        "STX",
        ("preparation", "08:00", "09:00"),
        ("continuous", "09:00", "11:30"),
        _LUNCH,
        _AFTERNOON,
        _CLOSING,
        ("post_close", "14:45", "15:00"),
        _END,
    ),
    *_rows(
        "UPX",
        ("preparation", "08:00", "09:00"),
        ("continuous", "09:00", "11:30"),
        _LUNCH,
        ("continuous", "13:00", "15:00"),
        _END,
    ),
    *_rows(
        "DVX",
        ("preparation", "08:00", "08:45"),
        ("opening_auction", "08:45", "09:00"),
        ("continuous", "09:00", "11:30"),
        _LUNCH,
        _AFTERNOON,
        _CLOSING,
        ("end_of_day", "14:45", "15:30"),
    ),
)
