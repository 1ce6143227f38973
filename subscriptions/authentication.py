"""Turns the secrets that clients present into Grants; synchronous, at the edge, once a login and at each notice."""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from subscriptions import addresses, api_keys, operator_grants, tokens
from subscriptions.auth_error import AuthError
from subscriptions.entitlements import Grant
from subscriptions.models import ApiKey
from subscriptions.rights_read import RightsRead

__all__ = [
    "AuthError", "anonymous_grant", "authenticate", "authenticate_all", "issue_token", "note_use",
    "refresh_grant", "refresh_grants",
]  # fmt: skip

log = logging.getLogger(__name__)

LAST_USED_EVERY = timedelta(minutes=1)

Login = tuple[str | None, str | None]  # the secret (None: nothing was presented), the address (None: not known)
_Presented = api_keys.SecretKey | tokens.Claims | None


def authenticate(secret: str, ip: str | None, at: datetime | None = None) -> Grant:
    """The grant of a key or token presented from `ip` (None: not known) at `at` (now). AuthError when not valid."""
    at = at or timezone.now()
    grant = _of(authenticate_all([(secret, ip)], at)[0])
    if not tokens.looks_like_token(secret):
        note_use([grant.key_id], at)
    return grant


def authenticate_all(logins: Sequence[Login], at: datetime | None = None) -> list[Grant | AuthError]:
    """The answers to many logins, in their order, from one reading of the rows that begins after they were asked.

    One login costs as many queries as a hundred do. An operator's token costs its own. Nothing is written: who calls
    this says with `note_use` which keys were used, when it is convenient.
    """
    at = at or timezone.now()
    asked = [_presented(secret, ip, at=at) for secret, ip in logins]
    read = _read(at, {_key_id(one) for one in asked})
    return [_answer(one, read, ip=ip) for one, (_, ip) in zip(asked, logins, strict=True)]


def note_use(key_ids: Collection[str], at: datetime | None = None) -> None:
    """At most once a minute a key; the condition is in the UPDATE, so that parallel logins write once."""
    at = at or timezone.now()
    due = Q(last_used_at=None) | Q(last_used_at__lte=at - LAST_USED_EVERY)
    ApiKey.objects.filter(due, public_id__in=key_ids).update(last_used_at=at)


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
    return _of(authenticate_all([(None, None)])[0])


def refresh_grant(key_id: str, at: datetime | None = None) -> Grant:
    """The present grant of a running session's key (by public id; "" is the anonymous one). AuthError when it ended."""
    return _of(refresh_grants([key_id], at)[key_id])


def refresh_grants(key_ids: Sequence[str], at: datetime | None = None) -> dict[str, Grant | AuthError]:
    """The present grants of many keys in a few queries; for a key that ended the error that says why."""
    read = _read(at or timezone.now(), {one for one in key_ids if not operator_grants.user_id_of(one)})
    return {key_id: read.grant(key_id) for key_id in key_ids}


def _read(at: datetime, key_ids: set[str]) -> RightsRead:
    return RightsRead(at, key_ids=key_ids, zone=ZoneInfo(settings.MDDS.time_zone))


def _of(answer: Grant | AuthError) -> Grant:
    if isinstance(answer, AuthError):
        raise answer
    return answer


def _presented(secret: str | None, ip: str | None, *, at: datetime) -> _Presented | AuthError:
    """What can be told without a row: a mistyped key and a forged token cost no query."""
    try:
        if secret is None:
            return None
        if tokens.looks_like_token(secret):
            claims = tokens.verify(secret, ring=_ring(), at_s=int(at.timestamp()))
            if claims.address is not None and addresses.parsed(claims.address) != addresses.parsed(ip):
                return AuthError("IP_NOT_ALLOWED", f"this token may not be used from {ip or 'an unknown address'}")
            return claims
        return api_keys.parse(secret)
    except tokens.BadToken as error:
        return AuthError("AUTH_FAILED", f"invalid token: {error}")
    except api_keys.BadKey as error:
        return AuthError("AUTH_FAILED", f"invalid key: {error}")


def _key_id(presented: _Presented | AuthError) -> str:
    match presented:
        case api_keys.SecretKey():
            return presented.public_id
        case tokens.Claims(subject="key"):
            return presented.id
        case _:
            return ""


def _answer(presented: _Presented | AuthError, read: RightsRead, *, ip: str | None) -> Grant | AuthError:
    match presented:
        case AuthError():
            return presented
        case None:
            return read.grant("")
        case tokens.Claims(subject="operator"):
            return read.grant(operator_grants.key_id_of(presented.id))
        case tokens.Claims():
            return read.grant(presented.id)
    key = read.keys.get(presented.public_id)
    digest = api_keys.digest(presented, site_secret=settings.SECRET_KEY)
    # An unknown id is compared too: the time of the answer does not tell which ids exist.
    if not api_keys.same_digest(digest, key.digest if key else "0" * 64) or key is None:
        return AuthError("AUTH_FAILED", "invalid key")
    if not _may_come_from(key, ip):
        return AuthError("IP_NOT_ALLOWED", f"key {key.public_id} may not be used from {ip or 'an unknown address'}")
    return read.grant(key.public_id)


def _may_come_from(key: ApiKey, ip: str | None) -> bool:
    try:
        return addresses.allowed(key.addresses, ip)
    except (ValueError, TypeError):  # written past the form that checks it: one key's fault harms no other login
        log.exception("the address list of key %s cannot be read: nobody may use it", key.public_id)
        return False


def _ring() -> tokens.KeyRing:
    return tokens.ring_of(settings.MDDS.token_keys, site_secrets=[settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS])
