"""Turns the calendar's rows into the value workers are handed, and makes the rows of KRX's trading day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time

from feeds.krx.calendar import SpecialDay as SpecialDayValue
from feeds.krx.calendar import TradingCalendar, TradingPhase
from feeds.krx.trading_day import TRADING_DAY, WEEKDAYS
from feeds.models import Exchange, TradingSession


def calendar_of(exchange: Exchange, markets: Sequence[str]) -> TradingCalendar:
    """The calendar of a feed that carries `markets`. Sessions and days may be prefetched."""
    phases = [
        TradingPhase(
            row.market, WEEKDAYS.index(day), _seconds(row.starts_at), _seconds(row.ends_at), row.phase, row.expects_data
        )
        for row in exchange.trading_sessions.all()
        if row.market in markets
        for day in row.weekdays
    ]
    days = [
        SpecialDayValue(row.date, _seconds(row.closes_at) if row.closes_at else 0)
        for row in exchange.special_days.all()
    ]
    return TradingCalendar(tuple(sorted(phases)), tuple(sorted(days)), exchange.timezone)


def ship_trading_day(exchange: Exchange) -> int:
    """KRX's trading day as rows of an exchange that has none; returns how many were made."""
    if exchange.trading_sessions.exists():
        return 0
    return len(
        TradingSession.objects.bulk_create(
            TradingSession(
                exchange=exchange,
                market=row.market,
                phase=row.phase,
                starts_at=time.fromisoformat(row.starts),
                ends_at=time.fromisoformat(row.ends),
                expects_data=row.expects_data,
            )
            for row in TRADING_DAY
        )
    )


def _seconds(at: time) -> int:
    return at.hour * 3600 + at.minute * 60 + at.second
