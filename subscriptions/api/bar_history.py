"""One-minute bars of a time range, made from the trades that the journal holds.

A cursor of bars is (receive time, minute): the trades are read on from there, and minutes before it were given.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from subscriptions.api.journal_history import Page, Wanted
from subscriptions.books.bars import Bars

TRADES_MAX = 20_000  # read at a time; a page goes on until a minute is whole

_BAR = re.compile(rb'"bd":(null|"[^"]*").*"start":"([0-9T:-]{16})')
_TS = re.compile(rb'"ts":"([^"]*)"')


@dataclass(slots=True)
class _Bar:
    first_ns: int  # when its first trade was received
    line: bytes


def read_bars(wanted: Wanted, read: Callable[[Wanted], Page]) -> Page:
    """At most `rows_max` bars (but always whole minutes), by minute and board; `read` gives pages of trades."""
    bars, found, latest = Bars(), {}, b""
    after: tuple[int, int] | None = (wanted.from_ns, 0)
    count = 0
    while after is not None:
        trades = read(replace(wanted, channel="trade", from_ns=after[0], skip=after[1], rows_max=TRADES_MAX))
        after = trades.next
        for rx_ns, line in trades.rows:
            count += 1
            _keep(found, bars.trade(line.replace(b',"ep":', b',"n":%d,"ep":' % count, 1)), rx_ns)
            stamp = _TS.search(line)
            latest = max(latest, stamp[1] if stamp is not None else b"")
        _keep(found, bars.close_until(latest), 0)
        last = latest[:16]  # the one minute that more trades may still belong to
        whole = sum(1 for minute, _ in found if minute < last and _minutes(minute) >= wanted.skip)
        if after is not None and whole:
            break
    rows = sorted((key, bar) for key, bar in found.items() if _minutes(key[0]) >= wanted.skip)
    return _cut(rows, wanted.rows_max, open_minute=last if after is not None else None)


def _keep(found: dict[tuple[bytes, bytes], _Bar], records: list[bytes], rx_ns: int) -> None:
    for record in records:
        named = _BAR.search(record)
        assert named is not None, "Bars makes bars"
        key, line = (named[2], named[1]), _without_number(record)
        if key in found:
            found[key].line = line
        else:
            found[key] = _Bar(rx_ns, line)


def _cut(rows: list[tuple[tuple[bytes, bytes], _Bar]], rows_max: int, *, open_minute: bytes | None) -> Page:
    """The whole minutes among the first `rows_max` bars; the open minute and what follows are for the next page."""
    end = rows[rows_max][0][0] if len(rows) > rows_max else open_minute
    if end is not None and rows and rows[0][0][0] == end != open_minute:
        end = next((key[0] for key, _ in rows if key[0] > end), open_minute)  # one minute has more boards than that
    given = [(bar.first_ns, bar.line) for key, bar in rows if end is None or key[0] < end]
    rest = [bar.first_ns for key, bar in rows if end is not None and key[0] >= end]
    return Page(given, (min(rest), _minutes(end)) if rest and end is not None else None)


def _minutes(minute: bytes) -> int:
    """`2026-11-20T02:15` as minutes since 1970."""
    return int(datetime.fromisoformat(f"{minute.decode()}:00+00:00").timestamp()) // 60


def _without_number(line: bytes) -> bytes:
    start = line.index(b',"n":')
    return line[:start] + line[line.index(b",", start + 1) :]
