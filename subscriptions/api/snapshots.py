"""`/snapshot/{channel}/{symbol}`: the last images of one stream, cut and delayed as the key's rights say."""

from __future__ import annotations

import json

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema

from feeds.models import Instrument
from subscriptions.api import history_source
from subscriptions.api.access import FULL, Allowed, allowed, check_timeliness
from subscriptions.api.edges import edges
from subscriptions.api.errors import ApiError
from subscriptions.api.keys import grant_of, require_scope
from subscriptions.books.book import snapshot as book_snapshot
from subscriptions.books.ladder import Ladder
from subscriptions.books.quote import quote
from subscriptions.entitlements import market_of, market_of_index
from subscriptions.gateway.heads import cut_depth

# What a snapshot of a channel is made from: an image of its own, or the depth image.
SOURCES = {
    "depth": "depth", "quote": "depth", "book": "depth", "stats": "stats", "expected": "expected",
    "foreign": "foreign", "index": "index", "status": "status", "definition": "definition", "bar": "bar",
}  # fmt: skip
LADDERS = ("depth", "book")
LEVELS = (1, 3, 5, 10)

router = Router(tags=["snapshot"])


class Granted(Schema):
    rule: str
    timeliness: str
    delay_s: int
    depth: int | None


class Snapshot(Schema):
    channel: str
    symbol: str
    granted: Granted
    records: list[dict[str, object]]


class SnapshotQuery(Schema):
    depth: int | None = None
    timeliness: str | None = None


@router.get("/snapshot/{channel}/{symbol}", response=Snapshot, summary="The last image of a stream")
def last_images(request: HttpRequest, channel: str, symbol: str, query: Query[SnapshotQuery]) -> HttpResponse:
    """One record per board (and, where they differ in kind, MsgType), oldest first; the same bytes that the stream
    sends. Empty when the stream has said nothing yet. `granted` states what is given: nothing is silently altered."""
    if channel not in SOURCES:
        raise ApiError("BAD_PARAM", f"channel: expected one of {', '.join(SOURCES)}; events have /history")
    if query.depth is not None and (channel not in LADDERS or query.depth not in LEVELS):
        raise ApiError("BAD_PARAM", f"depth: expected one of {LEVELS}, on {' and '.join(LADDERS)}")
    grant = require_scope(grant_of(request), "stream")
    now_ns = edges().clock_ns()
    right = allowed(grant, channel, symbol=symbol, at_ns=now_ns, timeliness=check_timeliness(query.timeliness))
    lines = _images(SOURCES[channel], symbol, right, now_ns=now_ns)
    if not lines and not _known(channel, symbol):
        raise ApiError("SYMBOL_UNKNOWN", f"no instrument, index, board or feed {symbol[:40]!r}")
    level = min((one for one in (right.level, query.depth or FULL) if one != FULL), default=FULL)
    return _answer(channel, symbol, right, lines=[_shaped(channel, line, level) for line in lines], level=level)


def _images(channel: str, symbol: str, right: Allowed, *, now_ns: int) -> list[bytes]:
    """As of now, or as of `delay_s` ago: an image that is old enough is the delayed one too."""
    images = edges().images
    if images is None:
        raise ApiError("OVERLOADED", "this system keeps no hot cache: MDDS_REDIS is empty")
    lines = images.get(channel, symbol)
    if not right.delay_s:
        return lines
    until_ns = now_ns - right.delay_s * 1_000_000_000
    if all(received_ns(line) < until_ns for line in lines):
        return lines
    return history_source.last_images(channel, symbol, until_ns=until_ns)


def received_ns(line: bytes) -> int:
    """The `rx` of a record."""
    at = line.index(b'"rx":') + 5
    return int(line[at : line.index(b",", at)])


def _shaped(channel: str, line: bytes, level: int) -> bytes:
    if channel == "quote":
        return quote(line)
    if channel == "book":
        return book_snapshot(Ladder.of(line).cut(level), line)
    return line if level == FULL or channel != "depth" else cut_depth(line, level)


def _answer(channel: str, symbol: str, right: Allowed, *, lines: list[bytes], level: int) -> HttpResponse:
    depth = None if channel not in LADDERS else level or 10
    granted = {"rule": right.rule, "timeliness": right.timeliness, "delay_s": right.delay_s, "depth": depth}
    head = json.dumps({"channel": channel, "symbol": symbol, "granted": granted}, ensure_ascii=False)
    body = b'%b,"records":[%b]}' % (head[:-1].encode(), b",".join(lines))
    return HttpResponse(body, content_type="application/json", headers={"Cache-Control": "no-store"})


def _known(channel: str, symbol: str) -> bool:
    if Instrument.objects.filter(ticker=symbol).exists():
        return True
    market = market_of_index(symbol) if channel == "index" else market_of(symbol)
    return market is not None or symbol.startswith("feed:")
