"""`/usage`: what the subscriber's keys received, day by day."""

from __future__ import annotations

from datetime import date as Day
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from ninja import Query, Router, Schema

from subscriptions.api.edges import edges
from subscriptions.api.errors import ApiError
from subscriptions.api.keys import grant_of, require_key
from subscriptions.models import UsageDay

DAYS_MAX = 366

router = Router(tags=["usage"])


class UsageRow(Schema):
    day: Day
    key: str
    sessions: int
    records: int
    bytes: int


class Usage(Schema):
    subscriber: str
    days: list[UsageRow]


class UsageQuery(Schema):
    start: Day | None = None
    end: Day | None = None


@router.get("/usage", response=Usage, summary="Sessions, records and bytes per key and day")
def usage(request: HttpRequest, query: Query[UsageQuery]) -> Usage:
    """Days of the exchange's time zone, `start` to `end`, both included; without them the last 31. Today's numbers are
    at most some seconds old."""
    grant = require_key(grant_of(request))
    today = datetime.fromtimestamp(edges().clock_ns() // 1_000_000_000, ZoneInfo(edges().time_zone)).date()
    end = query.end or today
    start = query.start or end - timedelta(days=30)
    if not timedelta(0) <= end - start <= timedelta(days=DAYS_MAX):
        raise ApiError("BAD_PARAM", f"start: expected a day up to {DAYS_MAX} days before end")
    rows = UsageDay.objects.filter(subscriber_id=grant.subscriber_id, day__gte=start, day__lte=end)
    days = [
        UsageRow(day=row.day, key=row.key_id, sessions=row.sessions, records=row.records, bytes=row.bytes)
        for row in rows.order_by("day", "key_id")
    ]
    return Usage(subscriber=grant.subscriber, days=days)
