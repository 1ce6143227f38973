"""The timetable of a trading day: what each market does at which local time.

Source: the table "The trading day" of krx_mdds.md. Times are seconds after midnight in Vietnam (UTC+7).
"""

from bisect import bisect_right
from dataclasses import dataclass


def clock(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60


@dataclass(frozen=True)
class DayEvent:
    at_s: int
    act: str
    """`prepare`, `status`, `uncross`, `expand` or `finish`."""
    board_event: str = ""
    """Tag 20005."""
    open_close: str = ""
    """Tag 20008."""
    trading_session: str = ""
    """Tag 336 from here on."""
    phase: str = ""
    """The traffic's phase once the event's messages are out."""


def _status(at: str, board_event: str, open_close: str, trading_session: str, phase: str) -> DayEvent:
    return DayEvent(clock(at), "status", board_event, open_close, trading_session, phase)


def _uncross(at: str, board_event: str, trading_session: str, phase: str) -> DayEvent:
    return DayEvent(clock(at), "uncross", board_event, "SE", trading_session, phase)


_PREPARE = DayEvent(clock("08:00"), "prepare")
_FINISH = DayEvent(clock("15:01"), "finish", phase="closed")
_LUNCH = _status("11:30", "AW8", "SH", "90", "pause")
_AFTER_LUNCH = _status("13:00", "AW9", "SR", "40", "continuous")
_EXPANSION = DayEvent(clock("13:45"), "expand")
_CLOSING_AUCTION = _status("14:30", "BC1", "SS", "30", "auction")
_BOARD_CLOSE = _status("15:00", "AB2", "BE", "99", "pause")

TIMETABLES: dict[str, tuple[DayEvent, ...]] = {
    "STO": (
        _PREPARE,
        _status("09:00", "AA1", "BS", "10", "auction"),
        _uncross("09:15", "AD2", "10", "pause"),
        _status("09:15", "BB1", "SS", "40", "continuous"),
        _LUNCH, _AFTER_LUNCH, _CLOSING_AUCTION,
        _uncross("14:45", "AC2", "30", "put_through"),
        _BOARD_CLOSE, _FINISH,
    ),
    "STX": (
        _PREPARE,
        _status("09:00", "AB1", "BS", "40", "continuous"),
        _LUNCH, _AFTER_LUNCH, _CLOSING_AUCTION,
        _uncross("14:45", "AC2", "60", "post_close"),
        _BOARD_CLOSE, _FINISH,
    ),
    "UPX": (
        _PREPARE,
        _status("09:00", "AB1", "BS", "40", "continuous"),
        _LUNCH, _AFTER_LUNCH,
        _BOARD_CLOSE, _FINISH,
    ),
    "DVX": (
        _PREPARE,
        _status("08:45", "AA1", "BS", "10", "auction"),
        _uncross("09:00", "AD2", "10", "pause"),
        _status("09:00", "BB1", "SS", "40", "continuous"),
        _LUNCH, _AFTER_LUNCH, _EXPANSION, _CLOSING_AUCTION,
        _uncross("14:45", "AC2", "30", "pause"),
        _BOARD_CLOSE, _FINISH,
    ),
}  # fmt: skip

STEADY = (
    DayEvent(0, "prepare"),
    DayEvent(0, "status", "BB1", "SS", "40", "continuous"),
)
"""The continuous session alone, for as long as the simulator runs."""

DAY_START_S = clock("08:00")
DAY_END_S = clock("15:10")

AUCTION_FACTOR = 2.0
"""Both auctions are the peaks of a real day: 30 k msg/s."""


class CompressedDay:
    """Squeezes 08:00-15:10 into a number of seconds; the quiet stretches are squeezed harder than the auctions."""

    _SHARES = (
        ("08:00", 0.10), ("08:45", 0.15), ("09:15", 0.25), ("11:30", 0.03), ("13:00", 0.22),
        ("14:30", 0.12), ("14:45", 0.08), ("15:00", 0.05),
    )  # fmt: skip

    def __init__(self, duration_s: float) -> None:
        if duration_s <= 0:
            raise ValueError(f"a duration above 0 s expected, found {duration_s}")
        starts = [clock(text) for text, _ in self._SHARES]
        self._ends_and_starts = list(zip(starts, [*starts[1:], DAY_END_S], strict=True))
        self._elapsed_at = [0.0]
        for _, share in self._SHARES:
            self._elapsed_at.append(self._elapsed_at[-1] + share * duration_s)

    def time_at(self, elapsed_s: float) -> float:
        """The local time of day, in seconds, after so many seconds of the run."""
        part = min(bisect_right(self._elapsed_at, elapsed_s), len(self._ends_and_starts)) - 1
        start, end = self._ends_and_starts[part]
        length = self._elapsed_at[part + 1] - self._elapsed_at[part]
        return min(start + (elapsed_s - self._elapsed_at[part]) / length * (end - start), DAY_END_S)
