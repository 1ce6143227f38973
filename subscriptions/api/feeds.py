"""`/feeds`: the state of every feed as the gateways see it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router, Schema

from feeds.models import Feed, WorkerHeartbeat

FRESH = timedelta(seconds=5)

router = Router(tags=["feeds"])


class FeedRow(Schema):
    name: str
    exchange: str
    markets: list[str]
    state: str
    epoch: str | None
    sequence: int | None
    age_ms: int | None
    seen_at: datetime | None


class FeedList(Schema):
    feeds: list[FeedRow]


@router.get("/feeds", response=FeedList, summary="State, epoch and last message of every feed")
def listing(request: HttpRequest) -> FeedList:
    """`state` is `unknown` while no gateway reports; `age_ms` is the age of the newest message when it was reported."""
    seen = _seen()
    rows = [_row(feed, seen.get(feed.name)) for feed in Feed.objects.filter(enabled=True).select_related("exchange")]
    return FeedList(feeds=rows)


def _seen() -> dict[str, tuple[dict[str, object], datetime]]:
    """By feed: what the gateway with the freshest heartbeat says, and when it said it."""
    found: dict[str, tuple[dict[str, object], datetime]] = {}
    fresh = WorkerHeartbeat.objects.filter(kind="gateway", seen_at__gte=timezone.now() - FRESH, stopped_at=None)
    for stats, seen_at in fresh.order_by("seen_at").values_list("stats", "seen_at"):
        feeds = stats.get("feeds")
        if isinstance(feeds, dict):
            found |= {name: (row, seen_at) for name, row in feeds.items() if isinstance(row, dict)}
    return found


def _row(feed: Feed, seen: tuple[dict[str, object], datetime] | None) -> FeedRow:
    row, seen_at = seen if seen is not None else ({}, None)
    return FeedRow(
        name=feed.name,
        exchange=feed.exchange.code,
        markets=list(feed.markets),
        state=row.get("state") or "unknown",
        epoch=row.get("ep") or None,
        sequence=row.get("q"),
        age_ms=row.get("age_ms"),
        seen_at=seen_at,
    )
