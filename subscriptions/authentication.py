"""Turns the secret a client presents into its Grant; synchronous, at the edge, once a session and at each notice."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from subscriptions import addresses, api_keys, grants, operator_grants, tokens
from subscriptions.auth_error import AuthError
from subscriptions.entitlements import Grant, ProductRule
from subscriptions.models import ApiKey

__all__ = ["AuthError", "anonymous_grant", "authenticate", "issue_token", "refresh_grant", "refresh_grants"]

LAST_USED_EVERY = timedelta(minutes=1)


def authenticate(secret: str, ip: str | None, at: datetime | None = None) -> Grant:
    """The grant of a key or token presented from `ip` (None: not known) at `at` (now). AuthError when not valid."""
    at = at or timezone.now()
    if tokens.looks_like_token(secret):
        return _grant_of_token(secret, ip, at=at)
    try:
        presented = api_keys.parse(secret)
    except api_keys.BadKey as error:
        raise AuthError("AUTH_FAILED", f"invalid key: {error}") from None
    key = _keys([presented.public_id]).first()
    digest = api_keys.digest(presented, site_secret=settings.SECRET_KEY)
    # An unknown id is compared too: the time of the answer does not tell which ids exist.
    if not api_keys.same_digest(digest, key.digest if key else "0" * 64) or key is None:
        raise AuthError("AUTH_FAILED", "invalid key")
    if not addresses.allowed(key.addresses, ip):
        raise AuthError("IP_NOT_ALLOWED", f"key {key.public_id} may not be used from {ip or 'an unknown address'}")
    grant = _grant(key, at)
    _note_use(key, at)
    return grant


def issue_token(
    grant: Grant, *, at: datetime, lifetime_s: int = tokens.LIFETIME_S_MAX, address: str | None = None
) -> str:
    """A token that opens a stream as this grant's key or operator would; it carries no rights of its own.

    The key's address list was checked when the key asked; the token may be used from elsewhere, by a browser, unless
    it is bound to an `address`.
    """
    if not grant.key_id:
        raise AuthError("AUTH_REQUIRED", "a token is issued for a key or an operator")
    user_id = operator_grants.user_id_of(grant.key_id)
    subject, id_ = ("operator", user_id) if user_id else ("key", grant.key_id)
    return tokens.issue(subject, id_, ring=_ring(), at_s=int(at.timestamp()), lifetime_s=lifetime_s, address=address)


def anonymous_grant() -> Grant:
    """Public products with tighter limits, for a client without a key."""
    return grants.anonymous()


def refresh_grant(key_id: str, at: datetime | None = None) -> Grant:
    """The present grant of a running session's key (by public id; "" is the anonymous one). AuthError when it ended."""
    found = refresh_grants([key_id], at)[key_id]
    if isinstance(found, AuthError):
        raise found
    return found


def refresh_grants(key_ids: Sequence[str], at: datetime | None = None) -> dict[str, Grant | AuthError]:
    """The present grants of many keys in a few queries; for a key that ended the error that says why."""
    at = at or timezone.now()
    rows = {key.public_id: key for key in _keys([one for one in key_ids if one])}
    public = grants.public_rules()
    found: dict[str, Grant | AuthError] = {}
    for key_id in key_ids:
        user_id, row = operator_grants.user_id_of(key_id), rows.get(key_id)
        try:
            if not key_id:
                found[key_id] = grants.anonymous(public=public)
            elif user_id:
                found[key_id] = operator_grants.of_user(user_id)
            elif row is None:
                raise AuthError("KEY_REVOKED", f"key {key_id} was deleted")
            else:
                found[key_id] = _grant(row, at, public=public)
        except AuthError as error:
            found[key_id] = error
    return found


def _keys(public_ids: Sequence[str]) -> QuerySet[ApiKey]:
    rows = ApiKey.objects.filter(public_id__in=public_ids).select_related("subscriber")
    return rows.prefetch_related("subscriber__contracts__entitlements__product")


def _grant_of_token(text: str, ip: str | None, *, at: datetime) -> Grant:
    """The signature first: a forged token costs no query."""
    try:
        claims = tokens.verify(text, ring=_ring(), at_s=int(at.timestamp()))
    except tokens.BadToken as error:
        raise AuthError("AUTH_FAILED", f"invalid token: {error}") from None
    if claims.address is not None and addresses.parsed(claims.address) != addresses.parsed(ip):
        raise AuthError("IP_NOT_ALLOWED", f"this token may not be used from {ip or 'an unknown address'}")
    if claims.subject == "operator":
        return operator_grants.of_user(claims.id)
    return refresh_grant(claims.id, at)


def _ring() -> tokens.KeyRing:
    return tokens.ring_of(settings.MDDS.token_keys, site_secrets=[settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS])


def _grant(key: ApiKey, at: datetime, *, public: tuple[ProductRule, ...] | None = None) -> Grant:
    if key.subscriber.blocked:
        raise AuthError("KEY_REVOKED", f"subscriber {key.subscriber.code} is blocked")
    if key.revoked_at is not None and key.revoked_at <= at:
        raise AuthError("KEY_REVOKED", f"key {key.public_id} was revoked at {key.revoked_at:%Y-%m-%d %H:%M:%S} UTC")
    if key.expires_at is not None and key.expires_at <= at:
        raise AuthError("KEY_EXPIRED", f"key {key.public_id} expired at {key.expires_at:%Y-%m-%d %H:%M:%S} UTC")
    try:
        return grants.of_key(key, at=at, zone=ZoneInfo(settings.MDDS.time_zone), public=public)
    except grants.NoContract as error:
        raise AuthError("CONTRACT_ENDED", str(error)) from error


def _note_use(key: ApiKey, at: datetime) -> None:
    """At most once a minute a key; the condition is in the UPDATE, so that parallel logins write once."""
    if key.last_used_at is not None and key.last_used_at > at - LAST_USED_EVERY:
        return
    due = Q(last_used_at=None) | Q(last_used_at__lte=at - LAST_USED_EVERY)
    ApiKey.objects.filter(due, pk=key.pk).update(last_used_at=at)
