"""Turns the secret a client presents into its Grant; synchronous, at the edge, once a session and at each notice."""

import ipaddress
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from subscriptions import api_keys, grants
from subscriptions.entitlements import Grant
from subscriptions.models import ApiKey

LAST_USED_EVERY = timedelta(minutes=1)


class AuthError(Exception):
    """`code` is the protocol's; `msg` may be shown to the client: it tells nothing of keys that do not exist."""

    def __init__(self, code: str, msg: str) -> None:
        super().__init__(f"{code}: {msg}")
        self.code = code
        self.msg = msg


def authenticate(secret: str, ip: str | None, at: datetime | None = None) -> Grant:
    """The grant of a key presented from `ip` (None: not known) at `at` (now). AuthError when it is not valid."""
    at = at or timezone.now()
    try:
        presented = api_keys.parse(secret)
    except api_keys.BadKey as error:
        raise AuthError("AUTH_FAILED", f"invalid key: {error}") from None
    key = ApiKey.objects.select_related("subscriber").filter(public_id=presented.public_id).first()
    digest = api_keys.digest(presented, site_secret=settings.SECRET_KEY)
    # An unknown id is compared too: the time of the answer does not tell which ids exist.
    if not api_keys.same_digest(digest, key.digest if key else "0" * 64) or key is None:
        raise AuthError("AUTH_FAILED", "invalid key")
    if not _address_allowed(key.addresses, ip):
        raise AuthError("IP_NOT_ALLOWED", f"key {key.public_id} may not be used from {ip or 'an unknown address'}")
    grant = _grant(key, at)
    _note_use(key, at)
    return grant


def anonymous_grant() -> Grant:
    """Public products with tighter limits, for a client without a key."""
    return grants.anonymous()


def refresh_grant(key_id: str, at: datetime | None = None) -> Grant:
    """The present grant of a running session's key (by public id; "" is the anonymous one). AuthError when it ended."""
    if not key_id:
        return anonymous_grant()
    key = ApiKey.objects.select_related("subscriber").filter(public_id=key_id).first()
    if key is None:
        raise AuthError("KEY_REVOKED", f"key {key_id} was deleted")
    return _grant(key, at or timezone.now())


def _grant(key: ApiKey, at: datetime) -> Grant:
    if key.subscriber.blocked:
        raise AuthError("KEY_REVOKED", f"subscriber {key.subscriber.code} is blocked")
    if key.revoked_at is not None and key.revoked_at <= at:
        raise AuthError("KEY_REVOKED", f"key {key.public_id} was revoked at {key.revoked_at:%Y-%m-%d %H:%M:%S} UTC")
    if key.expires_at is not None and key.expires_at <= at:
        raise AuthError("KEY_EXPIRED", f"key {key.public_id} expired at {key.expires_at:%Y-%m-%d %H:%M:%S} UTC")
    try:
        return grants.of_key(key, at=at, zone=ZoneInfo(settings.MDDS.time_zone))
    except grants.NoContract as error:
        raise AuthError("CONTRACT_ENDED", str(error)) from error


def _address_allowed(allowed: list[str], ip: str | None) -> bool:
    if not allowed:
        return True
    if ip is None:
        return False
    try:
        address = ipaddress.ip_address(ip.split("%", 1)[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(text) for text in allowed)


def _note_use(key: ApiKey, at: datetime) -> None:
    """At most once a minute a key; the condition is in the UPDATE, so that parallel logins write once."""
    if key.last_used_at is not None and key.last_used_at > at - LAST_USED_EVERY:
        return
    due = Q(last_used_at=None) | Q(last_used_at__lte=at - LAST_USED_EVERY)
    ApiKey.objects.filter(due, pk=key.pk).update(last_used_at=at)
