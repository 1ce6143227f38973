"""The trading calendar as a value: what a market does at a moment, and whether its lines must not be silent then.

Times of day are seconds after local midnight; every function takes the moment as ns since 1970. A calendar without
phases (an exchange whose trading day nobody has entered) expects data always: an unknown silence is trouble.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

CLOSED = "closed"
UNKNOWN = "unknown"  # no calendar was entered
ZONE = "Asia/Ho_Chi_Minh"
NS_PER_S = 1_000_000_000
DAYS_AHEAD_MAX = 30  # how far `next_change_ns` looks: longer than any holiday


@dataclass(frozen=True, slots=True, order=True)
class TradingPhase:
    """What `market` does on `weekday` (0 = Monday) from `start_s` until before `end_s`."""

    market: str
    weekday: int
    start_s: int
    end_s: int
    name: str
    expects_data: bool


@dataclass(frozen=True, slots=True, order=True)
class SpecialDay:
    """A day unlike its weekday: closed, or everything ends at `closes_s` (a half day)."""

    day: date
    closes_s: int = 0


@dataclass(frozen=True, slots=True)
class TradingCalendar:
    """The phases of the markets of one feed and the days on which they do not hold."""

    phases: tuple[TradingPhase, ...] = ()
    special_days: tuple[SpecialDay, ...] = ()
    zone: str = ZONE

    def phase_at(self, ns: int, market: str | None = None) -> str:
        """The phase's name; of several markets the one that is busiest. `closed` outside of all phases."""
        if not self.phases:
            return UNKNOWN
        current = self._current(ns, market)
        return max(current, key=lambda phase: phase.expects_data).name if current else CLOSED

    def expects_data(self, ns: int, market: str | None = None) -> bool:
        """Whether silence at this moment is trouble."""
        return not self.phases or any(phase.expects_data for phase in self._current(ns, market))

    def began(self, ns: int, market: str) -> bool:
        """Whether the market's day had begun by then: messages may have been sent that nobody here has heard.

        A market without phases of its own goes with the others of its feed."""
        if not self.phases:
            return True
        own = any(phase.market == market for phase in self.phases)
        second, phases = self._day(ns)
        return any(phase.start_s <= second for phase in phases if phase.market == market or not own)

    def next_change_ns(self, ns: int) -> int | None:
        """The first moment after `ns` at which a phase begins or ends; None when there is none within a month."""
        local = self._local(ns)
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
        for ahead in range(DAYS_AHEAD_MAX):
            day = midnight + timedelta(days=ahead)
            phases = _phases_on(self, day.date())
            for second in sorted({s for phase in phases for s in (phase.start_s, phase.end_s)}):
                moment = int((day + timedelta(seconds=second)).timestamp()) * NS_PER_S
                if moment > ns:
                    return moment
        return None

    def session_date(self, ns: int) -> date:
        """The local date: the session a moment belongs to."""
        return self._local(ns).date()

    def _current(self, ns: int, market: str | None) -> list[TradingPhase]:
        second, phases = self._day(ns)
        return [p for p in phases if p.start_s <= second < p.end_s and market in (None, p.market)]

    def _day(self, ns: int) -> tuple[float, tuple[TradingPhase, ...]]:
        local = self._local(ns)
        second = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
        return second, _phases_on(self, local.date())

    def _local(self, ns: int) -> datetime:
        return datetime.fromtimestamp(ns // NS_PER_S, UTC).astimezone(ZoneInfo(self.zone))


@lru_cache(maxsize=512)
def _phases_on(calendar: TradingCalendar, day: date) -> tuple[TradingPhase, ...]:
    """The phases of a date: its weekday's, cut short on a half day, none on a holiday."""
    special = next((one for one in calendar.special_days if one.day == day), None)
    found = [phase for phase in calendar.phases if phase.weekday == day.weekday()]
    if special is None:
        return tuple(found)
    return tuple(
        TradingPhase(p.market, p.weekday, p.start_s, min(p.end_s, special.closes_s), p.name, p.expects_data)
        for p in found
        if p.start_s < special.closes_s
    )


NO_CALENDAR = TradingCalendar()
