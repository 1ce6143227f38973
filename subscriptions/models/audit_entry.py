"""The audit trail: rows that can only be appended, each sealed by the digest of the one before."""

from typing import Any

from django.db import models


class AuditAppendOnly(TypeError):
    """Somebody tried to change or delete an audit row."""


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    def update(self, **kwargs: Any) -> int:
        raise AuditAppendOnly("audit rows are never changed")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise AuditAppendOnly("audit rows are never deleted")


class AuditEntry(models.Model):
    at = models.DateTimeField()
    who = models.CharField(max_length=150)
    what = models.CharField(max_length=64, help_text="Such as subscriptions.apikey.revoke.")
    subject = models.CharField(max_length=200)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    address = models.GenericIPAddressField(null=True)
    reason = models.TextField(blank=True)
    previous = models.CharField(max_length=64, unique=True)  # unique: the chain cannot fork
    digest = models.CharField(max_length=64, unique=True)

    objects = AuditQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "audit entry"
        verbose_name_plural = "audit"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.who} {self.what} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise AuditAppendOnly("audit rows are never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AuditAppendOnly("audit rows are never deleted")
