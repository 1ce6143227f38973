"""The replay job: what was asked, how far it is, how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from replay import states


class ReplayJob(models.Model):
    """A range of one feed's journal to publish again as `origin=replay:<id>`.

    The row is the only thing that the portal, the queue and the player share: it is claimed, moved and ended by
    conditional updates (jobs.py), never by saving a stale object. An operator's job has `submitted_by`, a client's
    has `subscriber`, and where it belongs to one session `watched_at`: nobody watching it any more cancels it.
    """

    feed = models.ForeignKey("feeds.Feed", on_delete=models.PROTECT, related_name="replay_jobs")
    from_at = models.DateTimeField("from", help_text="First moment of the range, by receive time (UTC).")
    to_at = models.DateTimeField("to", help_text="End of the range, not included (UTC).")
    speed = models.FloatField(default=1.0, help_text="1 is the original timing, 10 ten times as fast, 0 no waiting.")
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="replay_jobs"
    )
    submitted_at = models.DateTimeField()
    subscriber = models.ForeignKey(
        "subscriptions.Subscriber", on_delete=models.SET_NULL, null=True, blank=True, related_name="replay_jobs"
    )
    symbols = models.JSONField(default=list, blank=True, help_text="Tickers to play; empty: all.")
    isins = models.JSONField(default=list, blank=True, help_text="The instruments of the symbols; empty: all messages.")
    then_live = models.BooleanField(
        default=False, help_text="Put aside at the end of the range, until its session extends it to now."
    )
    watched_at = models.DateTimeField(
        null=True, blank=True, help_text="When a session last followed its own replay; empty: not a session's."
    )

    state = models.CharField(
        max_length=16, default=states.SUBMITTED, choices=[(state, state) for state in states.ALL], db_index=True
    )
    cancel_requested = models.BooleanField(default=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True, default="")

    worker = models.CharField(max_length=128, blank=True, default="", help_text="Who plays it; new with each claim.")
    seen_at = models.DateTimeField(null=True, blank=True, help_text="The worker's last sign of life.")
    claims = models.PositiveIntegerField(default=0, help_text="1 when never interrupted.")

    position = models.JSONField(
        null=True, blank=True, help_text="Where a player can take it up again (checkpoints.py)."
    )
    seek_ns = models.BigIntegerField(null=True, blank=True, help_text="Where the last seek went; it plays on from it.")
    current_ns = models.BigIntegerField(null=True, blank=True, help_text="Receive time of the newest datagram sent.")
    messages_sent = models.BigIntegerField(default=0)
    messages_total_estimate = models.BigIntegerField(default=0)
    bytes_total_estimate = models.BigIntegerField(default=0)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["submitted_by", "state"], name="replay_user_state"),
            models.Index(fields=["subscriber", "state"], name="replay_subscriber_state"),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(to_at__gt=F("from_at")), name="replay_to_after_from"),
            models.CheckConstraint(condition=Q(speed__gte=0), name="replay_speed_not_negative"),
            models.CheckConstraint(condition=Q(state__in=states.ALL), name="replay_state_known"),
            models.CheckConstraint(
                condition=Q(messages_sent__gte=0, messages_total_estimate__gte=0, bytes_total_estimate__gte=0),
                name="replay_counts_not_negative",
            ),
            models.CheckConstraint(
                condition=~Q(state=states.RUNNING) | (~Q(worker="") & Q(seen_at__isnull=False)),
                name="replay_running_has_worker",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=states.ENDED) | Q(finished_at__isnull=False), name="replay_ended_has_time"
            ),
            models.CheckConstraint(condition=~Q(state=states.FAILED) | ~Q(error=""), name="replay_failed_says_why"),
        ]

    def __str__(self) -> str:
        return f"replay {self.pk}: {self.feed} {_clock(self.from_at)} to {_clock(self.to_at)}"

    @property
    def origin(self) -> str:
        """What its RAW messages and its followers call it."""
        return f"replay:{self.pk}"

    @property
    def active(self) -> bool:
        """Whether something may still happen to it."""
        return self.state in states.ACTIVE

    @property
    def cancellable(self) -> bool:
        """Whether asking for a cancel makes sense."""
        return self.active and not self.cancel_requested


def _clock(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")
