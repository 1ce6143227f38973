"""Writes the workers' heartbeat rows from a thread with its own database connection, never from the loop."""

import contextlib
import logging
import os
import queue
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, connection
from django.db.utils import InterfaceError
from django.utils import timezone

from feeds.models import WorkerHeartbeat

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Beat:
    """What one worker reports of one second."""

    kind: str
    name: str
    stats: Mapping[str, object]
    stopped: bool = False


class HeartbeatWriter:
    """`post` never waits: one list of beats is kept, the newest; an unwritten older one is of no use to anybody."""

    def __init__(self, *, host: str | None = None) -> None:
        self.host = host or socket.gethostname()
        self.started_at = timezone.now()
        # Bound 1: a list that was not taken is replaced by the newer one.
        self._latest: queue.Queue[list[Beat] | None] = queue.Queue(maxsize=1)
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)
        self._last: list[Beat] = []
        self.written = 0
        self.failed = 0

    def start(self) -> None:
        self._thread.start()

    def post(self, beats: list[Beat] | None) -> None:
        while True:
            try:
                self._latest.put_nowait(beats)
                return
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._latest.get_nowait()

    def close(self, last: list[Beat], *, timeout_s: float) -> None:
        """Writes the last beats and ends the thread; a database that hangs longer is left behind."""
        self._last = last
        self.post(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (beats := self._latest.get()) is not None:
            self._write(beats)
        self._write(self._last)
        connection.close()

    def _write(self, beats: list[Beat]) -> None:
        now = timezone.now()
        try:
            WorkerHeartbeat.objects.bulk_create(
                [self._row(beat, now) for beat in beats],
                update_conflicts=True,
                unique_fields=["kind", "name", "host"],
                update_fields=["pid", "started_at", "seen_at", "stopped_at", "stats"],
            )
        except (DatabaseError, InterfaceError) as error:
            if not self.failed:
                log.warning("heartbeats cannot be written, the work goes on: %s", error)
            self.failed += 1
            connection.close()  # the next second tries with a new connection
            return
        if self.failed:
            log.info("heartbeats are written again after %d failure(s)", self.failed)
            self.failed = 0
        self.written += 1

    def _row(self, beat: Beat, now: datetime) -> WorkerHeartbeat:
        return WorkerHeartbeat(
            kind=beat.kind,
            name=beat.name,
            host=self.host,
            pid=os.getpid(),
            started_at=self.started_at,
            seen_at=now,
            stopped_at=now if beat.stopped else None,
            stats=beat.stats,
        )
