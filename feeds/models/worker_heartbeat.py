"""One row per worker, rewritten every second while it runs."""

from json import JSONEncoder

from django.db import models


class StatsEncoder(JSONEncoder):
    """A worker's figures as they are; what JSON has no word for as its text."""

    def default(self, o: object) -> str:
        return str(o)


class WorkerHeartbeat(models.Model):
    kind = models.CharField(max_length=32)
    name = models.CharField(max_length=64)
    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, blank=True)
    stats = models.JSONField(default=dict, encoder=StatsEncoder)

    class Meta:
        ordering = ["kind", "name", "host"]
        constraints = [models.UniqueConstraint(fields=["kind", "name", "host"], name="heartbeat_one_a_worker")]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} on {self.host}"
