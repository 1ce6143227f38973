"""`/history/{channel}`: trades, bars and depth of a time range, from the journal, page by page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote as quoted

from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import Field

from subscriptions.api import cursors, history_source
from subscriptions.api.access import FULL, Allowed, allowed, check_timeliness
from subscriptions.api.bar_history import read_bars
from subscriptions.api.edges import edges
from subscriptions.api.errors import ApiError
from subscriptions.api.journal_history import Page, Wanted
from subscriptions.api.keys import grant_of, require_scope
from subscriptions.api.parquet import parquet_bytes
from subscriptions.api.snapshots import Granted
from subscriptions.api.tables import COLUMNS, csv_text, rows_of
from subscriptions.gateway.heads import cut_depth
from subscriptions.grants import nanoseconds

RANGE_S_MAX = 24 * 3600  # one session, as for a replay
ROWS_MAX = {"trade": 10_000, "bar": 1_440, "depth": 2_000}
FORMATS = {"json": "application/json", "csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
NS = 1_000_000_000

router = Router(tags=["history"])


class History(Schema):
    channel: str
    symbol: str
    granted: Granted
    records: list[dict[str, object]]
    next: str | None


class HistoryQuery(Schema):
    symbol: str
    start: datetime
    end: datetime | None = None
    limit: int = 1_000
    cursor: str | None = None
    format: str = Field("json", description="json, csv or parquet")
    timeliness: str | None = None


@router.get("/history/{channel}", response=History, summary="Records of a time range")
def records(request: HttpRequest, channel: str, query: Query[HistoryQuery]) -> HttpResponse:
    """By receive time, [start, end). The records are the stream's without `n`, which numbers the live stream only;
    (`ep`, `q`) tells one from another. A page may be short, even empty: while `next` is there, there is more. In CSV
    and Parquet the cursor of the next page is in the header `X-Next-Cursor`."""
    if channel not in ROWS_MAX:
        raise ApiError("BAD_PARAM", f"channel: expected one of {', '.join(ROWS_MAX)}")
    if query.format not in FORMATS:
        raise ApiError("BAD_PARAM", f"format: expected one of {', '.join(FORMATS)}")
    if not 1 <= query.limit <= ROWS_MAX[channel]:
        raise ApiError("BAD_PARAM", f"limit: expected 1 to {ROWS_MAX[channel]}, got {query.limit}")
    grant = require_scope(grant_of(request), "history")
    now_ns = edges().clock_ns()
    right = allowed(grant, channel, symbol=query.symbol, at_ns=now_ns, timeliness=check_timeliness(query.timeliness))
    place = history_source.place_of(query.symbol)
    wanted = _wanted(channel, query, place[0].isin, until_ns=now_ns - right.delay_s * NS)
    page, read = Page([], None), partial(history_source.read, place)
    if wanted.from_ns < wanted.to_ns:
        page = read_bars(wanted, read) if channel == "bar" else read(wanted)
    lines = [line for _, line in page.rows]
    if channel == "depth" and right.level != FULL:
        lines = [cut_depth(line, right.level) for line in lines]
    following = cursors.encode(*page.next) if page.next is not None else None
    return _answer(channel, query, right, lines=lines, following=following)


def _wanted(channel: str, query: HistoryQuery, isin: str, *, until_ns: int) -> Wanted:
    start_ns = _ns(query.start)
    end_ns = until_ns if query.end is None else _ns(query.end)
    if query.end is not None and end_ns <= start_ns:
        raise ApiError("BAD_PARAM", "end: must be after start")
    if end_ns - start_ns > RANGE_S_MAX * NS:
        raise ApiError("BAD_PARAM", f"end: at most {RANGE_S_MAX // 3600} h after start")
    skip = 0
    if query.cursor is not None:
        at_ns, skipped = cursors.decode(query.cursor, int, int)
        if not isinstance(at_ns, int) or not isinstance(skipped, int) or not start_ns <= at_ns or skipped < 0:
            raise ApiError("BAD_PARAM", "cursor: of another query")
        start_ns, skip = at_ns, skipped
    return Wanted(channel, query.symbol, isin, start_ns, min(end_ns, until_ns), query.limit, skip)


def _ns(at: datetime) -> int:
    return nanoseconds(at if at.tzinfo else at.replace(tzinfo=UTC))


def _answer(
    channel: str, query: HistoryQuery, right: Allowed, *, lines: list[bytes], following: str | None
) -> HttpResponse:
    kind = FORMATS[query.format]
    headers = {"Cache-Control": "no-store"}
    if query.format == "json":
        granted = {
            "rule": right.rule,
            "timeliness": right.timeliness,
            "delay_s": right.delay_s,
            "depth": (right.level or 10) if channel == "depth" else None,
        }
        head = json.dumps({"channel": channel, "symbol": query.symbol, "granted": granted}, ensure_ascii=False)
        tail = json.dumps({"next": following})
        body = b'%b,"records":[%b],%b' % (head[:-1].encode(), b",".join(lines), tail[1:].encode())
        return HttpResponse(body, content_type=kind, headers=headers)
    if following is not None:
        headers["X-Next-Cursor"] = following
    headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{channel}-{quoted(query.symbol)}.{query.format}"
    if query.format == "csv":
        return HttpResponse(csv_text(lines, channel), content_type=kind, headers=headers)
    return HttpResponse(
        parquet_bytes(rows_of(lines, exact=False), COLUMNS[channel]), content_type=kind, headers=headers
    )
