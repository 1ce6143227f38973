"""The cast and the site of the portal's tests: Alice operates, Bob views, Charlie has no role, Olga is superuser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from feeds.models import Exchange, Feed, Line, WorkerHeartbeat
from portal.status import board
from replay.models import ReplayJob

PASSWORD = "correct horse battery"
ROLES = {"alice": "operator", "bob": "viewer", "eve": "entitlement admin", "charlie": None}


@pytest.fixture(autouse=True)
def _fresh_board() -> None:
    """The board of this process forgets what an earlier test showed it."""
    board.__init__()  # type: ignore[misc]


@pytest.fixture
def cast(db: None, settings: Settings) -> dict[str, User]:
    """The cast by name. Their passwords are hashed cheaply: the real hasher costs half a second each."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    people = {name: User.objects.create_user(name, password=PASSWORD) for name in ROLES}
    for name, role in ROLES.items():
        if role is not None:
            people[name].groups.add(Group.objects.get_or_create(name=role)[0])
    people["olga"] = User.objects.create_superuser("olga", password=PASSWORD)
    return people


@pytest.fixture
def log_in(cast: dict[str, User]) -> Callable[[str], Client]:
    """A browser in which somebody of the cast is logged in."""

    def client_of(name: str) -> Client:
        client = Client()
        client.force_login(cast[name])
        return client

    return client_of


@pytest.fixture
def feed(db: None) -> Feed:
    exchange = Exchange.objects.create(code="HOSE", name="Ho Chi Minh City Stock Exchange")
    row = Feed.objects.create(name="STO", exchange=exchange, markets=["STO"])
    for name, port in (("A", 9001), ("B", 9002)):
        Line.objects.create(feed=row, name=name, group="239.255.1.1", port=port)
    return row


@pytest.fixture
def job(feed: Feed, cast: dict[str, User]) -> ReplayJob:
    """A running job of Alice, half done."""
    start = datetime(2026, 11, 20, 2, 15, tzinfo=UTC)
    now = timezone.now()
    return ReplayJob.objects.create(
        feed=feed, from_at=start, to_at=start + timedelta(seconds=100), speed=10, submitted_by=cast["alice"],
        submitted_at=now, state="running", worker="w", seen_at=now, started_at=now - timedelta(seconds=5), claims=1,
        current_ns=int((start + timedelta(seconds=50)).timestamp()) * 10**9, messages_sent=2_000,
        messages_total_estimate=4_000,
    )  # fmt: skip


STATS: dict[str, dict[str, object]] = {
    "capture": {"datagrams_total": {"STO.A": 1000, "STO.B": 990}, "kernel_drops": 0, "journal_bytes": 400_000},
    "publisher": {
        "received": 1990, "unique": 1000, "duplicate": 990, "late": 0, "missing": 7, "gaps": 1, "published": 50,
        "confirmed": 50, "backlog_bytes": 0,
    },
    "parser": {
        "parsed": {"X": 800, "M1": 200}, "dead": 3, "dead_by_reason": {"CHECKSUM": 3}, "unrouted": 0, "records": 1400,
        "latency_ms": {"p50": 0.6, "p99": 2.5},
    },
    "gateway": {
        "clients": 1, "subscriptions": 2, "delivered": 2800, "sent_bytes": 900_000, "skipped": 0,
        "sessions": [
            {
                "session": "s_9f2", "subscriber": "acme", "key_id": "k3x9TTab", "address": "203.0.113.14",
                "subscriptions": [{"sid": 1, "ch": "trade", "origin": "live", "symbols": ["FPT", "VNM"], "count": 2}],
                "streams": 2, "sent_records": 2800, "queued_bytes": 512, "state": "open",
            }
        ],
    },
}  # fmt: skip


def beat(*, factor: int = 1, at: datetime | None = None) -> None:
    """Write a heartbeat of each worker; `factor` multiplies the totals, as if that many seconds had passed."""
    now = at or timezone.now()
    for kind, stats in STATS.items():
        WorkerHeartbeat.objects.update_or_create(
            kind=kind, name="one", host="core-1",
            defaults={"pid": 77, "started_at": datetime(2026, 11, 20, tzinfo=UTC), "seen_at": now,
                      "stats": times(stats, factor)},
        )  # fmt: skip


def times(stats: dict[str, object], factor: int) -> dict[str, object]:
    """The totals multiplied; latencies and sessions stay."""
    return {
        name: value
        if name in ("latency_ms", "sessions", "clients", "subscriptions")
        else times(value, factor)
        if isinstance(value, dict)
        else value * factor  # type: ignore[operator]
        for name, value in stats.items()
    }
