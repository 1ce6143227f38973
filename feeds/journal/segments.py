"""Names the journal's segments: one file per session date and size step, in order of their names."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

SUFFIX = ".mdj"
NAME = re.compile(r"(\d{8})-(\d{4})\.mdj")
# The exchanges' local time (krx_mdds: UTC+7, no daylight saving): a session date is a local date.
EXCHANGE_TIME = timezone(timedelta(hours=7))
NS = 1_000_000_000


class Position(NamedTuple):
    """A place in a journal: segment name and byte offset. Positions of one journal compare in order."""

    segment: str
    offset: int


START = Position("", 0)


def session_date(rx_ns: int) -> int:
    """The session date of a receive time as a number: 20261120."""
    day = datetime.fromtimestamp(rx_ns // NS, EXCHANGE_TIME)
    return day.year * 10_000 + day.month * 100 + day.day


def session_end_ns(rx_ns: int) -> int:
    """The first nanosecond after the session date of `rx_ns` (local midnight)."""
    day = datetime.fromtimestamp(rx_ns // NS, EXCHANGE_TIME).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((day + timedelta(days=1)).timestamp()) * NS


def segment_name(date: int, number: int) -> str:
    """`20261120-0001.mdj`."""
    return f"{date:08d}-{number:04d}{SUFFIX}"


def segment_names(folder: Path) -> list[str]:
    """All segments of a journal, oldest first; an empty list when the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in folder.iterdir() if NAME.fullmatch(entry.name))


def next_segment(folder: Path, date: int) -> str:
    """A name behind every segment there is; a clock that went back never produces a name that sorts earlier."""
    names = segment_names(folder)
    if not names:
        return segment_name(date, 1)
    last_date, last_number = (int(part) for part in NAME.fullmatch(names[-1]).groups())  # type: ignore[union-attr]
    return segment_name(date, 1) if date > last_date else segment_name(last_date, last_number + 1)
