"""Numbers the bars of one stream of trades, the same on every gateway, whatever closed them.  [pure]

After trade k the image of its minute is numbered 2k; the odd number behind it, 2k + 1, is that of one closed bar. It is
taken by whatever closes a bar first: the exchange's clock while trade k is the newest, or trade k + 1. Both close the
same bar there, because a trade first closes what was over before it: of several boards' bars the earliest minute, then
the first board. So it does not matter when a gateway looked at the clock, nor whether the records are made again from
the history. A further bar waits for the odd number behind the next trade.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from subscriptions.books.bars import Bars
from subscriptions.gateway.bar_clock import minute_at
from subscriptions.gateway.heads import Identity
from subscriptions.gateway.history import History

Made = tuple[int, bytes, bool]  # (n, record, whether a newer one may replace it)

CLOSED_KEPT = 64  # closed bars that a new subscriber is given, at most

_NUMBER = re.compile(rb'"n":[0-9]+')
_START = re.compile(rb'"start":"([^"]*)"')
_TS = re.compile(rb'"ts":"([0-9-]+T[0-9:]{8})')
_BOARD = re.compile(rb'"bd":(null|"[^"]*")')


class BarMaker:
    """A minute whose beginning was not seen has no bar; its number is left out all the same."""

    merges = False

    def __init__(self, history: History | None, minute: bytes = b"", boards: Collection[str] = ()) -> None:
        """`minute`: the one that the exchange is in (bar_clock.py). `boards`: only their trades; empty: all."""
        self._bars = Bars()
        self._looked = False
        self._torn = b""  # the minute in which looking began, behind its first trade
        self._seen = 0  # the newest trade
        self._odd_taken = False  # a closed bar has the number behind it
        self._minute = b""
        self._closed: list[bytes] = []
        self._open: dict[bytes, bytes] = {}
        quoted = {b'"%b"' % board.encode() for board in boards}
        for number, line, _, _ in history or ():
            self.look(number, line)
            if not quoted or _board(line) in quoted:
                self.make(number, line, (None, b""))
        self.close_until(minute)

    def look(self, number: int, line: bytes) -> None:
        """A trade of the stream, of whatever board."""
        if not self._looked and number > 1:
            stamp = _TS.search(line)
            self._torn = stamp[1][:16] if stamp is not None else b"~"
        self._looked = True

    @property
    def newest(self) -> int:
        """The number of the last record that was made or left out."""
        return 2 * self._seen + self._odd_taken

    def make(self, number: int, line: bytes, identity: Identity) -> list[Made]:
        self.look(number, line)
        stamp = _TS.search(line)
        over = max(minute_at(stamp[1]) if stamp is not None else b"", self._minute)
        made = self._close_one(over)
        records = self._bars.trade(line)
        closed = records[:-1]
        odd_free = number > self._seen + 1 or not self._odd_taken
        self._seen, self._odd_taken = number, False
        if closed and odd_free:
            made += self._made(2 * number - 1, closed.pop())
        if records:
            made += self._made(2 * number, records[-1])
        if closed:
            self._odd_taken = True
            return made + self._made(2 * number + 1, closed.pop())
        return made + self._close_one(over)

    def close_until(self, minute: bytes) -> list[Made]:
        """The exchange's clock has come to this minute."""
        self._minute = max(minute, self._minute)
        return self._close_one(self._minute)

    def images(self, number: int, images: Mapping[Identity, bytes]) -> list[bytes]:
        return [*self._closed, *self._open.values()]

    def renew(self) -> None:
        self._bars, self._looked, self._torn = Bars(), False, b""
        self._seen, self._odd_taken, self._minute = 0, False, b""
        self._closed.clear()
        self._open.clear()

    def _close_one(self, minute: bytes) -> list[Made]:
        """A bar that is over, if the number behind the newest trade is free."""
        records = [] if self._odd_taken or not self._seen else self._bars.close_until(minute, most=1)
        if not records:
            return []
        self._odd_taken = True
        return self._made(2 * self._seen + 1, records[0])

    def _made(self, number: int, record: bytes) -> list[Made]:
        if _start(record) <= self._torn:
            return []
        record = _NUMBER.sub(b'"n":%d' % number, record, count=1)
        closed = record.endswith(b'"closed":true}')
        self._note(record, closed=closed)
        return [(number, record, not closed)]

    def _note(self, record: bytes, *, closed: bool) -> None:
        board = _board(record)
        if closed:
            if (before := self._open.get(board)) is not None and _start(before) == _start(record):
                del self._open[board]
            self._closed.append(record)
            del self._closed[:-CLOSED_KEPT]
        else:
            self._open[board] = record


def _board(record: bytes) -> bytes:
    """As it stands in the record: `"G1"` or `null`."""
    found = _BOARD.search(record)
    return found[1] if found is not None else b""


def _start(record: bytes) -> bytes:
    """The minute of a bar."""
    found = _START.search(record)
    return found[1][:16] if found is not None else b""
