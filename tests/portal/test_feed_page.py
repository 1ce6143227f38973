"""The page of a feed: the publisher's word, line A against line B, gaps with ranges and times, the day's states."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from feeds.models import Feed, FeedEvent, WorkerHeartbeat
from portal.feed_view import feed_page, spans
from portal.status import StatusBoard
from tests.portal.conftest import beat

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)


def publisher_says(feed: Feed, **figures: object) -> None:
    row = WorkerHeartbeat.objects.get(kind="publisher")
    row.stats["feeds"] = {feed.name: figures}
    row.save()


def test_the_publishers_state_is_shown(feed: Feed) -> None:
    beat(at=NOW)
    publisher_says(feed, state="failover")
    (row, *_) = StatusBoard().snapshot(NOW).feeds
    assert (row.state, row.light) == ("failover", "amber")


def test_lines_side_by_side(feed: Feed) -> None:
    beat(at=NOW)
    lines = {"A": {"received": 1200, "disagreed": 0}, "B": {"received": 1100, "disagreed": 2}}
    publisher_says(
        feed,
        state="live",
        lines=lines,
        line_missing={"A": 0, "B": 100},
        skew_us={"A": {"p50": None}, "B": {"p50": 50.0}},
        epoch=2026112001,
    )
    page = feed_page(feed, StatusBoard().sample(NOW))
    rows = {row.label: (row.values, row.loss) for row in page.figures}
    assert rows["received"] == (("1,200", "1,100"), False)
    assert rows["missing"] == (("0", "100"), True)
    assert rows["disagreed"] == (("0", "2"), True)
    assert rows["later than the other, p50"] == (("–", "50 µs"), False)
    assert ("Epoch", "2026112001") in page.facts


def test_the_chart_has_the_state_that_held_before_it(feed: Feed) -> None:
    hour = timedelta(hours=1)
    for hours, state in ((30, "live"), (12, "stale"), (6, "live")):
        FeedEvent.objects.create(feed=feed, at=NOW - hours * hour, kind="state", state=state)
    found = spans(feed, NOW - 24 * hour, NOW)
    assert [(span.x, span.width, span.state, span.light) for span in found] == [
        (0.0, 500.0, "live", "green"),
        (500.0, 250.0, "stale", "red"),
        (750.0, 250.0, "live", "green"),
    ]


def test_the_page(feed: Feed, admin_client: Client) -> None:
    now = timezone.now()
    beat(at=now)
    FeedEvent.objects.create(
        feed=feed, at=now, kind="gap", stream="STO.market", first=41, last=43, began_at=now, ended_at=now
    )
    FeedEvent.objects.create(feed=feed, at=now, kind="disagreement", line="B", detail={"count": 7})
    text = admin_client.get(reverse("portal:feed", args=[feed.name])).content.decode()
    assert "STO.market" in text
    assert '<td class="number">41</td><td class="number">43</td><td class="number">3</td>' in text
    assert "count 7" in text


def test_who_may_not_look(feed: Feed, client: Client) -> None:
    assert client.get(reverse("portal:feed", args=[feed.name])).status_code == 302


def test_an_unknown_feed_is_not_found(admin_client: Client) -> None:
    assert admin_client.get(reverse("portal:feed", args=["NONE"])).status_code == 404
