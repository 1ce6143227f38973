"""Writes and reads the journal of changed rights, by which gateways learn what no notice told them."""

from datetime import timedelta

from django.utils import timezone

from subscriptions.models import RightsChange

KEPT = timedelta(days=1)
SWEEP_EVERY = 100  # changes between two removals of old ones
# Read again behind the newest known change: of two transactions the one with the lower number may commit later.
OVERTAKEN_MAX = 200

Change = tuple[int, int | None]  # (number, subscriber id or None for everybody)


def note(what: str, subscriber_id: int | None) -> None:
    """In the transaction of the change itself: both are seen at once, or neither."""
    row = RightsChange.objects.create(what=what, subscriber_id=subscriber_id)
    if row.pk % SWEEP_EVERY == 0:
        RightsChange.objects.filter(at__lt=timezone.now() - KEPT).delete()


def read(after: int | None) -> list[Change]:
    """The changes after (and shortly before) a number, oldest first; a reader skips those it has seen.

    None begins with the newest.
    """
    after = newest() if after is None else after
    rows = RightsChange.objects.filter(pk__gt=after - OVERTAKEN_MAX).order_by("pk")
    return list(rows.values_list("pk", "subscriber_id"))


def newest() -> int:
    """The number to begin reading after; 0 when there is none."""
    return RightsChange.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
