"""What a key received on a day: counters, never details."""

from django.db import models

from subscriptions.models.subscriber import Subscriber


class UsageDay(models.Model):
    """One row per key and day (in the exchange's time zone), added to while its sessions run."""

    subscriber = models.ForeignKey(Subscriber, on_delete=models.CASCADE, related_name="usage_days")
    key_id = models.CharField("key", max_length=40, help_text="The key's public id.")
    day = models.DateField()
    sessions = models.PositiveBigIntegerField(default=0)
    records = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ["-day", "key_id"]
        verbose_name = "usage of a day"
        verbose_name_plural = "usage of days"
        constraints = [models.UniqueConstraint(fields=["subscriber", "key_id", "day"], name="usage_one_a_key_and_day")]

    def __str__(self) -> str:
        return f"{self.key_id} {self.day}"
