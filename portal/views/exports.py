"""The tables as CSV files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from portal.access import viewer_required
from portal.csv_text import csv_text
from portal.replay_list import matching
from portal.status import board

ROWS_MAX = 10_000
Table = tuple[Sequence[str], Iterable[Sequence[object]]]


def _replays(request: HttpRequest) -> Table:
    head = ("id", "feed", "from", "to", "speed", "state", "messages_sent", "submitted_by", "submitted_at", "error")
    rows = (
        (job.pk, job.feed, job.from_at.isoformat(), job.to_at.isoformat(), job.speed, job.state, job.messages_sent,
         job.submitted_by, job.submitted_at.isoformat(), job.error)
        for job in matching(request.GET)[:ROWS_MAX]
    )  # fmt: skip
    return head, rows


def _sessions(request: HttpRequest) -> Table:
    head = ("session", "subscriber", "key", "address", "state", "subscriptions", "streams", "records", "queued")
    rows = board.snapshot(timezone.now()).sessions
    return head, (
        (row.session, row.subscriber, row.key, row.address, row.state, row.subscriptions, row.streams, row.records,
         row.queued)
        for row in rows
    )  # fmt: skip


def _workers(request: HttpRequest) -> Table:
    head = ("kind", "name", "host", "pid", "state", "seen", "started_at", "stats")
    rows = board.snapshot(timezone.now()).workers
    return head, (
        (row.kind, row.name, row.host, row.pid, row.light, row.seen, row.started_at.isoformat(),
         " ".join(f"{name}={value}" for name, value in row.stats))
        for row in rows
    )  # fmt: skip


TABLES: dict[str, Callable[[HttpRequest], Table]] = {
    "replays": _replays,
    "sessions": _sessions,
    "workers": _workers,
}


@require_safe
@viewer_required
def table_csv(request: HttpRequest, table: str) -> HttpResponse:
    """One table, with the filter of its page."""
    if table not in TABLES:
        raise Http404
    head, rows = TABLES[table](request)
    return HttpResponse(
        csv_text(head, rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{table}.csv"'},
    )
