"""The live table of `mdds sub`: one row per symbol for prices, one per stream for every other channel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mdds_client.book import MAIN_BOARD, Book
from mdds_client.cli.exit_codes import printable
from mdds_client.records import BookUpdate, Depth, Level, Number, Quote, Raw, Record, Trade

ROWS_MAX = 5_000  # symbols kept; past it the one that was quiet the longest is forgotten
_LEADING = frozenset({"ch", "s", "n", "ep", "job", "q", "m", "bd", "mt", "ts", "rx"})


@dataclass(slots=True)
class Row:
    """What is known of one symbol."""

    last: Number | None = None
    change: int = 0  # of the last trade against the one before: -1, 0, 1
    quantity: Number | None = None
    volume: Number | None = None
    trades: int = 0
    bid: Level | None = None
    offer: Level | None = None
    time: str = ""
    book: Book | None = None


class MarketTable:
    """`take` records, `render` when the screen is due."""

    def __init__(self, channels: Iterable[str]) -> None:
        self._channels = frozenset(channels)
        self._rows: dict[str, Row] = {}
        self._others: dict[tuple[str, str], Record] = {}
        self.records = 0

    def take(self, records: list[Record]) -> None:
        self.records += len(records)
        for record in records:
            if isinstance(record, Trade):
                _take_trade(self._row(record.symbol), record)
            elif isinstance(record, Depth):
                if record.board in (None, MAIN_BOARD):
                    _take_depth(self._row(record.symbol), record)
            elif isinstance(record, Quote):
                if record.board in (None, MAIN_BOARD):
                    _take_quote(self._row(record.symbol), record)
            elif isinstance(record, BookUpdate):
                self._take_book(record)
            else:
                key = (record.channel, record.symbol)
                self._others.pop(key, None)
                self._others[key] = record
                if len(self._others) > ROWS_MAX:
                    del self._others[next(iter(self._others))]

    def render(self, size: ConsoleDimensions) -> RenderableType:
        """As many lines as there are: the symbols that moved last, in order of their names."""
        prices = bool(self._channels & {"trade", "depth", "quote", "book"})
        lines = size.height - (2 if prices and self._others else 1)  # less the headings
        others = min(len(self._others), lines // 3 if prices else lines)
        parts: list[RenderableType] = [self._prices(max(1, lines - others))] if prices else []
        if self._others or not prices:
            parts.append(self._latest(max(1, others)))
        return Group(*parts)

    def _take_book(self, record: BookUpdate) -> None:
        """The best levels of a book that is kept here; one whose deltas broke off shows none until its snapshot."""
        row = self._row(record.symbol)
        if row.book is None:
            row.book = Book(record.symbol, origin=record.job)
        row.book.apply(record)
        whole = row.book.broken is None
        row.bid, row.offer = (row.book.best_bid, row.book.best_offer) if whole else (None, None)
        row.time = clock_of((record.exchange_time or "").partition("T")[2].rstrip("Z")) or row.time

    def _row(self, symbol: str) -> Row:
        """The symbol's row, moved to the end: the order of the dict is the order of the last update."""
        row = self._rows.pop(symbol, None) or Row()
        self._rows[symbol] = row
        if len(self._rows) > ROWS_MAX:
            del self._rows[next(iter(self._rows))]
        return row

    def _prices(self, rows_max: int) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("symbol", no_wrap=True)
        for name in ("last", "qty", "volume", "trades", "bid qty", "bid", "offer", "offer qty", "time"):
            table.add_column(name, justify="right", no_wrap=True)
        for symbol in sorted(list(self._rows)[-rows_max:]):
            row = self._rows[symbol]
            arrow = {1: "▲", -1: "▼"}.get(row.change, " ")
            style = {1: "green", -1: "red"}.get(row.change, "")
            table.add_row(
                Text(printable(symbol), "bold"),
                Text(f"{shown(row.last)} {arrow}", style),
                shown(row.quantity),
                shown(row.volume),
                str(row.trades) if row.trades else "",
                shown(row.bid.quantity if row.bid else None),
                Text(shown(row.bid.price if row.bid else None), "green"),
                Text(shown(row.offer.price if row.offer else None), "red"),
                shown(row.offer.quantity if row.offer else None),
                row.time,
            )
        return table

    def _latest(self, rows_max: int) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("channel", no_wrap=True)
        table.add_column("symbol", no_wrap=True)
        table.add_column("n", justify="right", no_wrap=True)
        table.add_column("latest", overflow="ellipsis", no_wrap=True)
        for key in sorted(list(self._others)[-rows_max:]):
            record = self._others[key]
            members = _latest_of(record)
            table.add_row(
                Text(record.channel), Text(printable(record.symbol), "bold"), str(record.n), Text(printable(members))
            )
        return table


def _latest_of(record: Record) -> str:
    """A record's own members; of the exchange's message its fields."""
    if isinstance(record, Raw):
        return record.message.decode("utf-8", "replace").replace("\x01", "|")
    return " ".join(f"{name}={record[name]}" for name in record if name not in _LEADING)


def _take_trade(row: Row, trade: Trade) -> None:
    if trade.price is not None and row.last is not None and trade.price != row.last:
        row.change = 1 if trade.price > row.last else -1
    row.last = trade.price
    row.quantity, row.volume, row.time = trade.quantity, trade.volume, clock_of(trade.time)
    row.trades += 1


def _take_depth(row: Row, depth: Depth) -> None:
    row.bid = next(iter(depth.bids), None)
    row.offer = next(iter(depth.offers), None)
    row.time = clock_of(depth.time) or row.time


def _take_quote(row: Row, quote: Quote) -> None:
    row.bid = _level(quote.bid, quote.bid_quantity)
    row.offer = _level(quote.offer, quote.offer_quantity)
    row.time = clock_of((quote.exchange_time or "").partition("T")[2].rstrip("Z")) or row.time


def _level(price: Number | None, quantity: Number | None) -> Level | None:
    return None if price is None or quantity is None else Level(price, quantity)


def shown(number: Number | None) -> str:
    """Digits as sent, thousands apart; empty for unknown."""
    return "" if number is None else f"{number:,}"


def clock_of(time: str | None) -> str:
    """A time of day as the exchange writes it (`091500123`) or already apart, as `09:15:00.123`."""
    if not time:
        return ""
    if len(time) == 9 and time.isdecimal():
        return f"{time[:2]}:{time[2:4]}:{time[4:6]}.{time[6:]}"
    return printable(time)[:12]
