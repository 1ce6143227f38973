"""Appends to the audit trail, and verifies its chain of digests."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models, transaction
from django.utils import timezone

from subscriptions.models import AuditEntry

FIRST = "0" * 64
APPEND_LOCK = 0x6D64_6473_0001  # "mdds", 1
Change = tuple[Mapping[str, object] | None, Mapping[str, object] | None]  # before, after
SECRET_FIELDS = frozenset({"digest", "password"})


class ChainBroken(Exception):
    """A row of the trail was changed, removed or put in."""

    def __init__(self, entry_id: int, why: str) -> None:
        super().__init__(f"audit entry {entry_id}: {why}")
        self.entry_id = entry_id


def append(
    what: str,
    subject: str,
    *,
    who: str,
    change: Change = (None, None),
    address: str | None = None,
    reason: str = "",
) -> AuditEntry:
    """One row, in the transaction of the change itself; `change` is before and after."""
    with transaction.atomic():
        _one_at_a_time()
        last = AuditEntry.objects.order_by("-id").first()
        before, after = (_plain(side) for side in change)
        entry = AuditEntry(
            at=timezone.now(),
            who=who[:150],
            what=what[:64],
            subject=subject[:200],
            before=before,
            after=after,
            address=address,
            reason=reason,
            previous=last.digest if last else FIRST,
        )
        entry.digest = seal(entry)
        entry.save()
    return entry


def _one_at_a_time() -> None:
    """Appends wait for each other, so that none forks the chain. SQLite's IMMEDIATE transactions do by themselves."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [APPEND_LOCK])


def seal(entry: AuditEntry) -> str:
    """SHA-256 over every field and the digest of the row before."""
    at: datetime = entry.at.astimezone(UTC)
    fields = [
        entry.previous, at.isoformat(timespec="microseconds"), entry.who, entry.what, entry.subject,
        entry.before, entry.after, entry.address, entry.reason,
    ]  # fmt: skip
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def verify() -> int:
    """The number of rows of a whole chain; ChainBroken names the first row that does not fit."""
    previous, count = FIRST, 0
    for entry in AuditEntry.objects.order_by("id").iterator(chunk_size=1000):
        if entry.previous != previous:
            raise ChainBroken(entry.pk, "does not follow the row before it: a row was removed or put in")
        if entry.digest != seal(entry):
            raise ChainBroken(entry.pk, "its content does not match its digest: the row was changed")
        previous, count = entry.digest, count + 1
    return count


def fields_of(instance: models.Model) -> dict[str, object]:
    """The row's values, without secrets, as they go into the trail; of many-to-many relations the keys."""
    values: dict[str, object] = {
        field.name: field.value_from_object(instance)
        for field in instance._meta.concrete_fields
        if field.name not in SECRET_FIELDS
    }
    for relation in instance._meta.many_to_many:
        values[relation.name] = sorted(getattr(instance, relation.name).values_list("pk", flat=True))
    return values


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> Change:
    """Only what changed, on both sides."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}


def _plain(side: Mapping[str, object] | None) -> Any:
    return None if side is None else json.loads(json.dumps(side, cls=DjangoJSONEncoder))
