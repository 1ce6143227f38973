"""The depth ladder of `mdds book`: offers above, bids below, each level with a bar of its quantity."""

from __future__ import annotations

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from mdds_client.book import Book
from mdds_client.cli.exit_codes import printable
from mdds_client.cli.market_table import clock_of, shown
from mdds_client.records import BookUpdate, Depth, Level, Record

_EIGHTHS = " ▏▎▍▌▋▊▉"


class Ladder:
    """`take` records, `render` when the screen is due."""

    def __init__(self, symbol: str, *, board: str, origin: str | None = None) -> None:
        self.book = Book(symbol, board=board, origin=origin)
        self.records = 0

    def take(self, records: list[Record]) -> None:
        self.records += len(records)
        for record in records:
            if isinstance(record, Depth | BookUpdate):
                self.book.apply(record)

    def render(self, size: ConsoleDimensions) -> RenderableType:
        """As many lines as there are: as many levels a side as fit, the best ones in the middle."""
        book = self.book
        title = Text(f"{printable(book.symbol)} {printable(book.board or '')}", "bold")
        if book.record is None:
            return Group(title, Text("waiting for the first image", "dim"))
        levels_max = max(1, (size.height - 3) // 2)
        bids, offers = book.bids[:levels_max], book.offers[:levels_max]
        most = max((float(level.quantity) for level in (*bids, *offers)), default=0.0)
        bar_width = max(10, min(60, size.width - 36))
        table = Table(box=None, show_header=False, pad_edge=False)
        for justify in ("right", "right", "left"):
            table.add_column(justify=justify, no_wrap=True)
        for level in reversed(offers):
            table.add_row(*_row(level, most, style="red", bar_width=bar_width))
        spread = shown(book.spread)
        table.add_row("", "", Text(f"spread {spread}" if spread else "one side is empty", "dim"))
        for level in bids:
            table.add_row(*_row(level, most, style="green", bar_width=bar_width))
        if book.broken is not None:
            return Group(title, table, Text(f"waits for a snapshot: {printable(book.broken)}", "yellow"))
        return Group(title, table, _totals(book.record))


def bar(share: float, width: int) -> str:
    """A bar of `width` cells at share 1, drawn to an eighth of a cell."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _row(level: Level, most: float, *, style: str, bar_width: int) -> tuple[Text, Text, Text]:
    share = float(level.quantity) / most if most > 0 else 0.0
    return Text(shown(level.price), style), Text(shown(level.quantity)), Text(bar(share, bar_width), style)


def _totals(record: Depth | BookUpdate) -> Text:
    parts = []
    if isinstance(record, Depth):
        parts.append(f"bids {shown(record.total_bid)}" if record.total_bid is not None else "")
        parts.append(f"offers {shown(record.total_offer)}" if record.total_offer is not None else "")
    parts.append(f"{clock_of(_time(record))}  n {record.n}")
    return Text("   ".join(part for part in parts if part), "dim")


def _time(record: Depth | BookUpdate) -> str | None:
    """The time of day of the record, as the exchange wrote it or from its sending time."""
    if isinstance(record, Depth) and record.time:
        return record.time
    return (record.exchange_time or "").partition("T")[2].rstrip("Z")
