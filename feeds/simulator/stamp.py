"""The texts of one instant as the exchange writes them.

SendingTime and TransactTime are UTC; the trade date is the date in Vietnam (UTC+7).
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

LOCAL_OFFSET_S = 7 * 3600
_NS = 1_000_000_000
_SATURDAY = 5


class Stamp(NamedTuple):
    now_ns: int
    sending_time: str
    """Tag 52, `YYYYMMDD HH:MM:SS.mmm`."""
    transact_time: str
    """Tag 60, `HHmmssSSS`."""
    trade_date: str
    """Tag 75, `YYYYMMDD`, local."""


def stamp_of(now_ns: int) -> Stamp:
    seconds, rest_ns = divmod(now_ns, _NS)
    moment = datetime.fromtimestamp(seconds, UTC)
    ms = f"{rest_ns // 1_000_000:03d}"
    local = moment + timedelta(seconds=LOCAL_OFFSET_S)
    return Stamp(
        now_ns,
        f"{moment:%Y%m%d %H:%M:%S}.{ms}",
        f"{moment:%H%M%S}{ms}",
        f"{local:%Y%m%d}",
    )


def trading_time_s(now_ns: int) -> float:
    """Seconds since midnight in Vietnam; always 0 on a Saturday and a Sunday, when nothing trades."""
    local = datetime.fromtimestamp(now_ns // _NS + LOCAL_OFFSET_S, UTC)
    if local.weekday() >= _SATURDAY:
        return 0.0
    return (now_ns / _NS + LOCAL_OFFSET_S) % 86_400
