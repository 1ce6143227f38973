"""Rotates an API key: a successor with the same rights, and an overlap in which both are valid."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from subscriptions import api_keys
from subscriptions.models import ApiKey

OVERLAP_MAX = timedelta(days=30)


class NotRotatable(ValueError):
    """The key is over, or has a successor already."""


def rotate(key: ApiKey, *, overlap: timedelta, at: datetime, site_secret: str) -> tuple[ApiKey, api_keys.SecretKey]:
    """The successor and its secret; `key` ends when the overlap does, or earlier if it would have anyway.

    The successor keeps the end that the old key had: to rotate a key does not prolong it.
    """
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        raise ValueError(f"overlap: expected up to {OVERLAP_MAX.days} days, got {overlap}")
    secret = api_keys.generate()
    try:
        with transaction.atomic():
            key = ApiKey.objects.select_for_update().get(pk=key.pk)
            if key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= at):
                raise NotRotatable(f"key {key.public_id} is not valid any more: issue a new one")
            successor = ApiKey.objects.create(
                subscriber=key.subscriber,
                name=key.name,
                public_id=secret.public_id,
                digest=api_keys.digest(secret, site_secret=site_secret),
                scopes=key.scopes,
                addresses=key.addresses,
                expires_at=key.expires_at,
                replaces=key,
            )
            ends = at + overlap
            key.expires_at = min(ends, key.expires_at) if key.expires_at is not None else ends
            key.save(update_fields=["expires_at"])
    except IntegrityError as error:
        raise NotRotatable(f"key {key.public_id} has a successor already") from error
    return successor, secret
