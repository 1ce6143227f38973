"""Answers /health/live and /health/ready."""

import time
from collections.abc import Callable

from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from feeds.models import WorkerHeartbeat

HEARTBEAT_AGE_S_MAX = 5.0


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "live"})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 when the database and the cache answer and each kind of worker has a fresh heartbeat, else 503."""
    checks = {"database": _tried(_database), "cache": _tried(_cache), "workers": _tried(_workers)}
    status = "ready" if all(check["ok"] for check in checks.values()) else "not ready"
    return JsonResponse({"status": status, "checks": checks}, status=200 if status == "ready" else 503)


def _tried(check: Callable[[], dict[str, object]]) -> dict[str, object]:
    started = time.perf_counter()
    try:
        found = {"ok": True} | check()
    except Exception as error:  # whatever the driver raises: the answer is "not ready", and names the type only
        found = {"ok": False, "error": type(error).__name__}
    return found | {"ms": round((time.perf_counter() - started) * 1000, 1)}


def _database() -> dict[str, object]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return {"vendor": connection.vendor}


def _cache() -> dict[str, object]:
    cache.set("health", "1", timeout=5)
    return {"ok": cache.get("health") == "1"}


def _workers() -> dict[str, object]:
    """The youngest heartbeat of each kind that was not stopped on purpose; a kind never started is not expected."""
    now = timezone.now()
    ages: dict[str, float] = {}
    for kind, seen_at in WorkerHeartbeat.objects.filter(stopped_at=None).values_list("kind", "seen_at"):
        age = (now - seen_at).total_seconds()
        ages[kind] = min(age, ages.get(kind, age))
    late = sorted(kind for kind, age in ages.items() if age > HEARTBEAT_AGE_S_MAX)
    return {"ok": not late, "late": late, "age_s": {kind: round(age, 1) for kind, age in sorted(ages.items())}}
