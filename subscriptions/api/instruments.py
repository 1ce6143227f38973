"""`/instruments`: what is listed, searched by name, market or last change."""

from __future__ import annotations

from datetime import date as Day
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from ninja import Query, Router, Schema

from feeds.config import MARKETS
from feeds.models import BoardFacts, Instrument
from subscriptions.api import cursors
from subscriptions.api.edges import edges
from subscriptions.api.errors import ApiError
from subscriptions.api.keys import grant_of, require_key

ROWS_MAX = 500

router = Router(tags=["instruments"])


class Board(Schema):
    board: str
    reference: str | None
    ceiling: str | None
    floor: str | None
    lot: str | None


class InstrumentRow(Schema):
    symbol: str
    isin: str
    market: str
    name: str
    english_name: str
    updated_at: datetime
    boards: list[Board]


class InstrumentPage(Schema):
    instruments: list[InstrumentRow]
    next: str | None


class InstrumentQuery(Schema):
    q: str = ""
    market: str | None = None
    date: Day | None = None
    limit: int = 100
    cursor: str | None = None


@router.get("/instruments", response=InstrumentPage, summary="Search instruments")
def listing(request: HttpRequest, query: Query[InstrumentQuery]) -> InstrumentPage:
    """By `q` (beginning of a symbol or ISIN, or part of a name), `market`, and `date`: the day, in the exchange's
    time zone, on which the exchange said something about them. Ordered by symbol; `next` is the cursor of the rest."""
    require_key(grant_of(request))
    if not 1 <= query.limit <= ROWS_MAX:
        raise ApiError("BAD_PARAM", f"limit: expected 1 to {ROWS_MAX}, got {query.limit}")
    if query.market is not None and query.market not in MARKETS:
        raise ApiError("BAD_PARAM", f"market: expected one of {', '.join(MARKETS)}, got {query.market[:20]!r}")
    rows = _found(query)
    if query.cursor is not None:
        ticker, isin = cursors.decode(query.cursor, str, str)
        rows = rows.filter(Q(ticker__gt=ticker) | Q(ticker=ticker, isin__gt=isin))
    found = list(rows.order_by("ticker", "isin").prefetch_related("boards")[: query.limit + 1])
    page, more = found[: query.limit], len(found) > query.limit
    following = cursors.encode(page[-1].ticker, page[-1].isin) if more else None
    return InstrumentPage(instruments=[row_of(one) for one in page], next=following)


@router.get("/instruments/{symbol}", response=InstrumentRow, summary="One instrument by symbol or ISIN")
def one(request: HttpRequest, symbol: str) -> InstrumentRow:
    require_key(grant_of(request))
    return row_of(find(symbol))


def find(symbol: str) -> Instrument:
    """The instrument of a ticker or ISIN; SYMBOL_UNKNOWN. A ticker that two markets have: the first market's."""
    found = Instrument.objects.prefetch_related("boards").filter(Q(ticker=symbol) | Q(isin=symbol)).order_by("market")
    row = found.first()
    if row is None:
        raise ApiError("SYMBOL_UNKNOWN", f"no instrument {symbol[:40]!r}")
    return row


def row_of(instrument: Instrument) -> InstrumentRow:
    return InstrumentRow(
        symbol=instrument.ticker,
        isin=instrument.isin,
        market=instrument.market,
        name=instrument.name,
        english_name=instrument.english_name,
        updated_at=instrument.updated_at,
        boards=[_board(facts) for facts in instrument.boards.all()],
    )


def _board(facts: BoardFacts) -> Board:
    numbers = {name: getattr(facts, name) for name in ("reference", "ceiling", "floor", "lot")}
    return Board(
        board=facts.board,
        **{name: None if number is None else format(number.normalize(), "f") for name, number in numbers.items()},
    )


def _found(query: InstrumentQuery) -> QuerySet[Instrument]:
    rows = Instrument.objects.all()
    if query.q:
        text = query.q[:100].replace("\0", "")
        rows = rows.filter(
            Q(ticker__istartswith=text)
            | Q(isin__istartswith=text)
            | Q(name__icontains=text)
            | Q(english_name__icontains=text)
        )
    if query.market is not None:
        rows = rows.filter(market=query.market)
    if query.date is not None:
        start = datetime.combine(query.date, time(), ZoneInfo(edges().time_zone))
        rows = rows.filter(updated_at__gte=start, updated_at__lt=start + timedelta(days=1))
    return rows
