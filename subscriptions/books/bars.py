"""One-minute bars from trade records: an image for each trade while a minute is open, one closed event after it.

Time is the exchange's (`ts` of the trades): a replayed day makes the bars of that day. A bar closes when the first
trade of a later minute of its (symbol, board) comes, or when `close_until` is told that the exchange's clock is past
it. The numbers of a stream do not depend on which of the two it was. A trade that comes after its bar was closed (a
late copy that filled a gap) is added to that bar, whose event is sent again; for an older bar it is too late, and is
counted.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal

from subscriptions.books.numbers import decimal_text

# Groups: 1 symbol (as in JSON), 2 epoch, 3 from epoch's end to before ts, 4 board, 5 minute, 6 rest of ts.
_TRADE = re.compile(
    rb'\{"ch":"trade","s":("(?:[^"\\]|\\.)*"),"n":[0-9]+,"ep":("?[^",]*"?)'
    rb'(,(?:"job":"[^"]*",)?"rx":[0-9]+,"q":[^,]*,"m":[^,]*,"bd":(null|"[^"]*"),"mt":"[^"]*"),'
    rb'"ts":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2})([^"]*)"'
)
# Groups: 1 symbol, 2 number, 3 epoch, 4 from the epoch's end to the end of ts, 5 board.
_BAR = re.compile(
    rb'\{"ch":"bar","s":("(?:[^"\\]|\\.)*"),"n":([0-9]+),"ep":("?[^",]*"?)'
    rb'(,(?:"job":"[^"]*",)?"rx":[0-9]+,"q":[^,]*,"m":[^,]*,"bd":(null|"[^"]*"),"mt":"[^"]*","ts":"[^"]*")'
)
_PRICES = re.compile(rb',"o":([^,]+),"h":([^,]+),"l":([^,]+),"c":([^,]+),')
_PRICE = re.compile(rb'[,{]"p":(-?[0-9.]+)[,}]')
_QUANTITY = re.compile(rb'[,{]"v":([0-9.]+)[,}]')


@dataclass(slots=True)
class Bar:
    """One minute of one board. Prices are the wire's text, beside the numbers they are compared by."""

    minute: bytes  # 2026-11-20T02:15
    open: bytes
    high: bytes
    low: bytes
    close: bytes
    top: Decimal
    bottom: Decimal
    quantity: Decimal = Decimal(0)
    value: Decimal = Decimal(0)
    trades: int = 0
    closed: bool = False
    head: bytes = b""  # the leading members of the last trade, from `rx` to `ts`

    def add(self, price: bytes, quantity: Decimal) -> None:
        """Count a trade; one that comes late neither opens nor closes the minute."""
        at = Decimal(price.decode())
        if at > self.top:
            self.high, self.top = price, at
        if at < self.bottom:
            self.low, self.bottom = price, at
        if not self.closed:
            self.close = price
        self.quantity += quantity
        self.value += at * quantity
        self.trades += 1


@dataclass(slots=True)
class _Stream:
    """The bars of one symbol: its numbers and, by board, the newest bar and the one before it."""

    epoch: bytes
    n: int = 0
    newest: dict[bytes, Bar] = field(default_factory=dict)
    before: dict[bytes, Bar] = field(default_factory=dict)


class Bars:
    """The bars of one origin. Its size is that of the instruments: two bars for each (symbol, board) that traded."""

    def __init__(self) -> None:
        self._streams: dict[bytes, _Stream] = {}
        self.late = 0  # trades of a minute before the last two bars of their board: in no bar
        self.unreadable = 0  # trades without price, quantity or time: in no bar

    def trade(self, record: bytes) -> list[bytes]:
        """The records a trade leads to: the closed bar before it, if it begins a minute, and its own bar's image."""
        head, price, amount = _TRADE.match(record), _PRICE.search(record), _QUANTITY.search(record)
        if head is None or price is None or amount is None:
            self.unreadable += 1
            return []
        symbol, epoch, middle, board, minute, rest = head.groups()
        records: list[bytes] = []
        stream = self._streams.setdefault(symbol, _Stream(epoch))
        newest = stream.newest.get(board)
        begins = newest is None or minute > newest.minute
        if begins and newest is not None and not newest.closed:
            records.append(_close(symbol, stream, newest))  # in its own epoch
        if epoch != stream.epoch:
            stream.epoch, stream.n = epoch, 0
        bar = newest if newest is not None and not begins else _first(minute, price[1])
        if begins:
            if newest is not None:
                stream.before[board] = newest
            stream.newest[board] = bar
        elif minute < bar.minute:
            earlier = stream.before.get(board)
            if earlier is None or earlier.minute != minute:
                self.late += 1
                return []
            bar = earlier
        bar.add(price[1], Decimal(amount[1].decode()))
        bar.head = b'%b,"ts":"%b%b"' % (middle, minute, rest)
        records.append(_record(symbol, stream, bar))
        return records

    def close_until(self, now: bytes, *, most: int | None = None) -> list[bytes]:
        """Close the bars whose minute is over at `now`, the exchange's time in the records' spelling
        (`2026-11-20T02:16:00.250Z`); of each symbol at most `most`, the earliest minutes first, then by board."""
        minute = now[:16]
        records = []
        for symbol, stream in self._streams.items():
            due = [
                (bar.minute, board) for board, bar in stream.newest.items() if not bar.closed and bar.minute < minute
            ]
            records += [_close(symbol, stream, stream.newest[board]) for _, board in sorted(due)[:most]]
        return records

    def restore(self, record: bytes) -> None:
        """Go on from a bar that was published before (a kept image); one older than what is known changes nothing."""
        head, prices = _BAR.match(record), _PRICES.search(record)
        if head is None or prices is None:
            raise ValueError(f"expected a bar, found {record[:60]!r}")
        symbol, number, epoch, middle, board = head.groups()
        stream = self._streams.setdefault(symbol, _Stream(epoch))
        if stream.epoch != epoch or (board in stream.newest and int(number) <= stream.n):
            return
        row = json.loads(record, parse_float=Decimal)
        first, high, low, close = prices.groups()
        bar = Bar(row["start"][:16].encode(), first, high, low, close, Decimal(row["h"]), Decimal(row["l"]))
        bar.quantity, bar.value, bar.trades = Decimal(row["v"]), Decimal(row["val"]), row["trades"]
        bar.closed, bar.head = row["closed"], middle
        stream.n = max(stream.n, int(number))
        stream.newest[board] = bar


def _first(minute: bytes, price: bytes) -> Bar:
    at = Decimal(price.decode())
    return Bar(minute, price, price, price, price, at, at)


def _close(symbol: bytes, stream: _Stream, bar: Bar) -> bytes:
    bar.closed = True
    return _record(symbol, stream, bar)


def _record(symbol: bytes, stream: _Stream, bar: Bar) -> bytes:
    stream.n += 1
    return (
        b'{"ch":"bar","s":%b,"n":%d,"ep":%b%b,"start":"%b:00Z","o":%b,"h":%b,"l":%b,"c":%b,"v":%b,"trades":%d,"val":%b,'
        b'"closed":%b}'
        % (
            symbol, stream.n, stream.epoch, bar.head, bar.minute, bar.open, bar.high, bar.low, bar.close,
            decimal_text(bar.quantity), bar.trades, decimal_text(bar.value), b"true" if bar.closed else b"false",
        )
    )  # fmt: skip
