"""The status of the whole system: one snapshot a second per process, however many look at it."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.template.loader import render_to_string

from feeds.models import Feed, WorkerHeartbeat
from portal import tables
from portal.history import History, Point
from portal.picture import GATEWAY_RECORDS, Box, Sample, boxes
from portal.readings import Rates, Reading, worst

FRESH_FOR = timedelta(milliseconds=900)
FORGET_AFTER = timedelta(hours=1)  # a worker that ended this long ago is not shown any more
FRAGMENTS = ("summary", "path", "feeds", "workers", "types", "drops", "latency", "sessions")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the status page shows."""

    at: datetime
    light: str
    boxes: Sequence[Box]
    feeds: Sequence[tables.FeedRow]
    workers: Sequence[tables.WorkerRow]
    types: Sequence[tables.ShareRow]
    drops: Sequence[tables.DropRow]
    sessions: Sequence[tables.SessionRow]
    sessions_total: int
    p50_ms: float | None
    p99_ms: float | None
    point: Point


class StatusBoard:
    """Reads the heartbeats at most once a second and keeps what the page needs of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rates = Rates()
        self._history = History()
        self._snapshot: Snapshot | None = None
        self._frame = ""

    def snapshot(self, now: datetime) -> Snapshot:
        """The snapshot of this second."""
        with self._lock:
            return self._fresh(now)

    def sample(self, now: datetime) -> Sample:
        """The workers as they are now, with the rates of the last snapshot."""
        with self._lock:
            self._fresh(now)
            return Sample(read_heartbeats(now), self._rates, now)

    def frame(self, now: datetime) -> str:
        """The update for the live channel: the page's fragments and one point of the charts, as JSON text."""
        with self._lock:
            before = self._snapshot
            snapshot = self._fresh(now)
            if snapshot is not before or not self._frame:
                self._frame = json.dumps(
                    {
                        "t": "status",
                        "point": snapshot.point.row() if self._rates.known else None,
                        "html": fragments(snapshot),
                    }
                )
            return self._frame

    def history(self, now: datetime) -> str:
        """The charts' last fifteen minutes, as JSON text."""
        with self._lock:
            self._fresh(now)
            return json.dumps({"t": "history", "points": self._history.rows(int(now.timestamp()))})

    def _fresh(self, now: datetime) -> Snapshot:
        if self._snapshot is None or not timedelta(0) <= now - self._snapshot.at < FRESH_FOR:
            self._snapshot = self._take(now)
            self._frame = ""
        return self._snapshot

    def _take(self, now: datetime) -> Snapshot:
        readings = read_heartbeats(now)
        self._rates.update(readings)
        sample = Sample(readings, self._rates, now)
        feeds = tables.feed_rows(sample, read_feeds())
        workers = tables.worker_rows(sample)
        sessions, sessions_total = tables.session_rows(sample)
        point = Point(
            int(now.timestamp()),
            sample.rate("capture", "datagrams_total"),
            sample.rate("parser", "parsed"),
            sample.rate("gateway", sample.name_in_use("gateway", *GATEWAY_RECORDS)),
            sample.latency_ms("p99"),
        )
        if self._rates.known:
            self._history.add(point)  # the first sample has no rates: it would be a dip that never was
        return Snapshot(
            at=now,
            light=worst([row.light for row in workers] + [row.light for row in feeds]),
            boxes=boxes(sample),
            feeds=feeds,
            workers=workers,
            types=tables.type_rows(sample),
            drops=tables.drop_rows(sample),
            sessions=sessions,
            sessions_total=sessions_total,
            p50_ms=sample.latency_ms("p50"),
            p99_ms=point.p99_ms,
            point=point,
        )


def fragments(snapshot: Snapshot) -> dict[str, str]:
    """The parts of the page that change, by name, as HTML."""
    return {name: render_to_string(f"portal/status/{name}.html", {"status": snapshot}) for name in FRAGMENTS}


def read_heartbeats(now: datetime) -> list[Reading]:
    """The workers' heartbeats; those that ended long ago are left out."""
    rows = WorkerHeartbeat.objects.filter(seen_at__gte=now - FORGET_AFTER)
    return [
        Reading(row.kind, row.name, row.host, row.pid, row.started_at, row.seen_at, row.stopped_at, row.stats or {})
        for row in rows
    ]  # fmt: skip


def read_feeds() -> list[tables.FeedName]:
    """The feeds as configured."""
    return [
        tables.FeedName(
            feed.name,
            ", ".join(feed.markets),
            feed.enabled,
            tuple((line.name, f"{line.group}:{line.port}") for line in feed.lines.all()),
        )
        for feed in Feed.objects.prefetch_related("lines")
    ]


board = StatusBoard()
