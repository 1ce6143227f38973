"""Turns feed and instrument rows into the values workers are handed, and back; called at the edge only."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from django.db import transaction

from feeds.calendar_rows import calendar_of
from feeds.config import MARKETS, FeedConfig, InstrumentDefinition, LineConfig
from feeds.models import BoardFacts, Feed, Instrument
from feeds.models.instrument import ISIN_PATTERN

log = logging.getLogger(__name__)


class UnknownFeed(LookupError):
    """A feed was asked for that no row names, or that is disabled or lacks a line."""


def load_feeds(names: Sequence[str] | None = None, *, partitions: int = 4) -> list[FeedConfig]:
    """The named feeds in the order of the names, or every enabled one by name."""
    rows = _rows()
    if names is None:
        return [_config(feed, partitions) for feed in rows.values() if feed.enabled]
    for name in names:
        if name not in rows:
            raise UnknownFeed(f"there is no feed {name!r}; known are {', '.join(rows) or 'none'}")
        if not rows[name].enabled:
            raise UnknownFeed(f"feed {name!r} is disabled")
    return [_config(rows[name], partitions) for name in names]


def reload_feeds(names: Sequence[str] | None = None, *, partitions: int = 4) -> list[FeedConfig]:
    """What `load_feeds` would say now, without those that cannot run: disabled, removed, or without a line."""
    rows = _rows().values()
    return [
        _config(feed, partitions)
        for feed in rows
        if feed.enabled and feed.lines.all() and (names is None or feed.name in names)
    ]


def _rows() -> dict[str, Feed]:
    feeds = Feed.objects.select_related("exchange").prefetch_related(
        "lines", "exchange__trading_sessions", "exchange__special_days"
    )
    return {feed.name: feed for feed in feeds}


def _config(feed: Feed, partitions: int) -> FeedConfig:
    lines = tuple(
        LineConfig(
            name=line.name, group=line.group, port=line.port, source=line.source or None, interface=line.interface
        )
        for line in sorted(feed.lines.all(), key=lambda line: line.name)
    )
    if not lines:
        raise UnknownFeed(f"feed {feed.name!r} has no line; add line A (and B) in the admin")
    return FeedConfig(
        id=feed.pk,
        name=feed.name,
        exchange=feed.exchange.code,
        markets=tuple(feed.markets),
        lines=lines,
        partitions=partitions,
        gap_wait_ns_max=feed.gap_wait_ms * 1_000_000,
        gap_messages_max=feed.gap_messages_max,
        receive_buffer_bytes=feed.receive_buffer_bytes,
        line_silent_ns_max=feed.line_silent_ms * 1_000_000,
        line_down_ns_max=feed.line_down_ms * 1_000_000,
        calendar=calendar_of(feed.exchange, feed.markets),
    )


def load_instruments() -> dict[str, tuple[str, str]]:
    """ISIN to (ticker, market)."""
    rows = Instrument.objects.values_list("isin", "ticker", "market")
    return {isin: (ticker, market) for isin, ticker, market in rows}


def save_instruments(definitions: Iterable[InstrumentDefinition]) -> int:
    """Writes what the definitions say, the last of each (instrument, board) winning; returns how many instruments.

    One that no row can hold (no ISIN, an unknown market) is left out and logged: it must not harm the others.
    A ticker that moved to another ISIN leaves its old one under "<ticker>~<old ISIN>", so that the new one can have it.
    """
    latest = {(one.isin, one.board): one for one in map(_printable, definitions) if _storable(one)}
    if not latest:
        return 0
    by_isin = _by_isin(latest.values())
    with transaction.atomic():
        _release_tickers(by_isin)
        Instrument.objects.bulk_create(
            [
                Instrument(
                    isin=one.isin, ticker=one.ticker, market=one.market, name=one.name, english_name=one.english_name
                )
                for one in by_isin.values()
            ],
            update_conflicts=True,
            unique_fields=["isin"],
            update_fields=["ticker", "market", "name", "english_name", "updated_at"],
        )
        ids = dict(Instrument.objects.filter(isin__in=by_isin).values_list("isin", "pk"))
        BoardFacts.objects.bulk_create(
            [_facts(one, ids[one.isin]) for one in latest.values()],
            update_conflicts=True,
            unique_fields=["instrument", "board"],
            update_fields=["reference", "ceiling", "floor", "lot"],
        )
    return len(by_isin)


def _printable(one: InstrumentDefinition) -> InstrumentDefinition:
    """Names cut to their columns, without NUL, which PostgreSQL refuses."""
    name, english_name = (text.replace("\0", "")[:200] for text in (one.name, one.english_name))
    return replace(one, name=name, english_name=english_name)


def _storable(one: InstrumentDefinition) -> bool:
    fits = (
        re.fullmatch(ISIN_PATTERN, one.isin)
        and one.market in MARKETS
        and re.fullmatch(r"[A-Z][A-Z0-9]", one.board)
        and 0 < len(one.ticker) <= 32
        and "\0" not in one.ticker
    )
    if not fits:
        log.warning("no instrument from definition %r %r on %r %r", one.isin, one.ticker, one.market, one.board)
    return bool(fits)


def _by_isin(definitions: Iterable[InstrumentDefinition]) -> dict[str, InstrumentDefinition]:
    """One definition an ISIN, and one ISIN a (market, ticker): board G1's before any other's, else the later one."""
    ordered = sorted(definitions, key=lambda one: one.board == "G1")
    by_isin = {one.isin: one for one in ordered}
    holders = {(one.market, one.ticker): one.isin for one in by_isin.values()}
    return {isin: one for isin, one in by_isin.items() if holders[one.market, one.ticker] == isin}


def _release_tickers(by_isin: Mapping[str, InstrumentDefinition]) -> None:
    wanted = {(one.market, one.ticker): one.isin for one in by_isin.values()}
    moved = []
    for row in Instrument.objects.filter(ticker__in=[ticker for _, ticker in wanted]):
        if wanted.get((row.market, row.ticker), row.isin) != row.isin:
            row.ticker = f"{row.ticker}~{row.isin}"[:32]
            moved.append(row)
    Instrument.objects.bulk_update(moved, ["ticker"])


def _facts(one: InstrumentDefinition, instrument_id: int) -> BoardFacts:
    ceiling, floor = _number(one.ceiling), _number(one.floor)
    if ceiling is not None and floor is not None and ceiling < floor:
        ceiling = floor = None  # an impossible band is no band; the record itself was delivered as sent
    lot = _number(one.lot)
    return BoardFacts(
        instrument_id=instrument_id,
        board=one.board,
        reference=_number(one.reference),
        ceiling=ceiling,
        floor=floor,
        lot=lot if lot and lot > 0 else None,
    )


def _number(text: str | None) -> Decimal | None:
    try:
        value = Decimal(text) if text else None
    except InvalidOperation:
        return None
    return value if value is not None and value.is_finite() and abs(value) < 10**14 else None
