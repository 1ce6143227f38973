"""The history of a feed: one row for each change of state, gap, reset, disagreement and late start."""

from django.db import models

from feeds.models.feed import Feed

KINDS = ("state", "line", "gap", "late_start", "reset", "disagreement", "suspect")


class FeedEvent(models.Model):
    """Written by the publisher's history task, read by the portal. Ranges are sequence numbers, both ends included."""

    feed = models.ForeignKey(Feed, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=[(kind, kind.replace("_", " ")) for kind in KINDS])
    state = models.CharField(max_length=16, blank=True)
    line = models.CharField(max_length=1, blank=True)
    stream = models.CharField(max_length=32, blank=True, help_text="market.stream, such as STO.market")
    first = models.BigIntegerField(null=True, blank=True)
    last = models.BigIntegerField(null=True, blank=True)
    began_at = models.DateTimeField(null=True, blank=True, help_text="Of a gap: the last message before it.")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Of a gap: the first message after it.")
    epoch = models.BigIntegerField(default=0)
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-at", "-pk"]
        indexes = [models.Index(fields=["feed", "-at"], name="feed_event_of_feed")]

    def __str__(self) -> str:
        return f"{self.feed_id and self.feed.name} {self.kind} {self.state}".strip()

    @property
    def count(self) -> int | None:
        """How many numbers the range has."""
        return None if self.first is None or self.last is None else self.last - self.first + 1
