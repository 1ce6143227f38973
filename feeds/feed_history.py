"""Writes the feeds' history rows, and forgets the oldest: called at the edge, in a thread."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import transaction
from django.utils import timezone

from feeds.capture.feed_monitor import FeedNote
from feeds.models import Feed, FeedEvent

log = logging.getLogger(__name__)

KEPT = timedelta(days=90)
ROWS_MAX = 50_000  # of one feed; past it the oldest are deleted, so that a storm of gaps cannot fill the database
PRUNE_EVERY = 1_000  # notes


class FeedHistory:
    """`keep` is handed to the publisher; it returns how many rows were written."""

    def __init__(self) -> None:
        self._until_prune = 0

    def keep(self, notes: Sequence[FeedNote]) -> int:
        """Write the notes of feeds that still have a row."""
        with transaction.atomic():
            known = set(Feed.objects.filter(pk__in={note.feed_id for note in notes}).values_list("pk", flat=True))
            rows = [_row(note) for note in notes if note.feed_id in known]
            FeedEvent.objects.bulk_create(rows, batch_size=500)
        self._until_prune -= len(notes)
        if self._until_prune <= 0:
            self._until_prune = PRUNE_EVERY
            self.prune()
        return len(rows)

    def prune(self) -> int:
        """Delete what is older than KEPT, and of each feed all but the newest ROWS_MAX."""
        deleted, _ = FeedEvent.objects.filter(at__lt=timezone.now() - KEPT).delete()
        for feed in Feed.objects.all():
            beyond = list(FeedEvent.objects.filter(feed=feed).values_list("at", flat=True)[ROWS_MAX : ROWS_MAX + 1])
            if beyond:
                more, _ = FeedEvent.objects.filter(feed=feed, at__lte=beyond[0]).delete()
                deleted += more
        return deleted


def _row(note: FeedNote) -> FeedEvent:
    return FeedEvent(
        feed_id=note.feed_id,
        at=_moment(note.at_ns),
        kind=note.kind,
        state=note.state,
        line=note.line,
        stream=note.stream,
        first=note.first,
        last=note.last,
        began_at=_moment(note.t0_ns) if note.t0_ns else None,
        ended_at=_moment(note.t1_ns) if note.t1_ns else None,
        epoch=note.epoch,
        detail=dict(note.detail),
    )


def _moment(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 1_000 / 1_000_000, UTC)
