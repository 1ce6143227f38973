"""Health: live while the process answers; ready with database, cache and fresh workers."""

from __future__ import annotations

import datetime

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from feeds.models import WorkerHeartbeat

pytestmark = pytest.mark.django_db


def beat(kind: str, *, age_s: float, stopped: bool = False, host: str = "h") -> None:
    seen_at = timezone.now() - datetime.timedelta(seconds=age_s)
    WorkerHeartbeat.objects.create(
        kind=kind,
        name=kind,
        host=host,
        pid=1,
        started_at=seen_at,
        seen_at=seen_at,
        stopped_at=seen_at if stopped else None,
    )


def test_live(client: Client) -> None:
    assert client.get("/health/live").json() == {"status": "live"}


def test_ready_names_each_check(client: Client) -> None:
    beat("capture", age_s=0.5)
    beat("parser", age_s=60, stopped=True)
    answer = client.get("/health/ready")
    body = answer.json()
    assert (answer.status_code, body["status"]) == (200, "ready")
    assert set(body["checks"]) == {"database", "cache", "workers"}
    assert list(body["checks"]["workers"]["age_s"]) == ["capture"]


def test_a_silent_kind_is_not_ready_a_replaced_host_is(client: Client) -> None:
    beat("capture", age_s=6)
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["checks"]["workers"]["late"]) == (503, ["capture"])
    beat("capture", age_s=0, host="new")
    assert client.get("/health/ready").status_code == 200


def test_a_dead_cache_is_named_without_details(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("redis://user:secret@cache")

    monkeypatch.setattr(type(cache._connections[cache._alias]), "set", refuse)
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["cache"]["error"] == "ConnectionError"
    assert "secret" not in answer.content.decode()


def test_metrics_and_method(client: Client) -> None:
    assert b"django_http_requests_total" in client.get("/metrics").content
    assert client.post("/health/live").status_code == 405
