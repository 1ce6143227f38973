"""Fixtures of the replay's tests: a feed with two lines, and an operator."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from feeds.models import Exchange, Feed, Line
from replay.models import ReplayJob

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)


@pytest.fixture
def feed(db: None) -> Feed:
    exchange = Exchange.objects.create(code="HOSE", name="Ho Chi Minh City Stock Exchange")
    row = Feed.objects.create(name="STO", exchange=exchange, markets=["STO"])
    for name, port in (("A", 9001), ("B", 9002)):
        Line.objects.create(feed=row, name=name, group="239.255.1.1", port=port)
    return row


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def job(feed: Feed, alice: User) -> ReplayJob:
    """A submitted job over 02:15:00 to 02:15:10."""
    start = datetime(2026, 11, 20, 2, 15, tzinfo=UTC)
    return ReplayJob.objects.create(
        feed=feed, from_at=start, to_at=start + timedelta(seconds=10), speed=0, submitted_by=alice, submitted_at=NOW
    )
