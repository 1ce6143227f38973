"""The journal of changed rights: what gateways read to learn of a change when no notice reaches them."""

from django.db import models


class RightsChange(models.Model):
    """Written in the transaction of the change itself; rows are kept for a day."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    what = models.CharField(max_length=40)
    subscriber_id = models.BigIntegerField(null=True, help_text="None: it may concern anybody.")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.what} of {self.subscriber_id or 'everybody'} at {self.at:%Y-%m-%d %H:%M:%S}"
