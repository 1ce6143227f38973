"""Throttles logins of operators: who fails too often has to wait, whatever the next password is.

Three counts over a quarter of an hour: one account from one address (a person who mistypes, or a guesser), one address
(somebody who tries accounts), one account (somebody with many addresses; so high that nobody is shut out cheaply).
They are kept in the cache, which processes share when it is Redis; while it is away each process counts for itself.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from django.core.cache import cache
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from prometheus_client import Counter

from subscriptions import audit

log = logging.getLogger(__name__)

WINDOW_S = 900  # from a count's first failure on; then it begins anew
PAIR_FAILURES_MAX = 5
ADDRESS_FAILURES_MAX = 50
ACCOUNT_FAILURES_MAX = 200
SAID_EVERY_S = 60  # that the cache is away
LOGINS = Counter("mdds_portal_logins_total", "Logins of operators, by outcome.", ["outcome"])

# Of this process, for when the cache is away. At 10,000 counts the oldest third goes: those are then forgiven.
_own = LocMemCache("login throttle", {"OPTIONS": {"MAX_ENTRIES": 10_000}})


class ThrottleBackend:
    """Stands before the backend that looks at passwords, and stops Django's `authenticate` with PermissionDenied.

    It has no users of its own (no `get_user`). A login without a request is not from outside and is let through.
    """

    def authenticate(self, request: HttpRequest | None, username: str | None = None, **_: object) -> None:
        if request is not None and username is not None and waits(request, username):
            LOGINS.labels("throttled").inc()
            raise PermissionDenied


def waits(request: HttpRequest, username: str) -> bool:
    """Whether this account has to wait, from where the request is from."""
    return any(_count(name) >= failures_max for name, failures_max in _names(username, _address(request)))


def failed(sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **_: object) -> None:
    """Counts one failure (signal `user_login_failed`); the one that is the last allowed goes into the audit trail."""
    username = str(credentials.get("username") or "")
    if request is None or waits(request, username):
        return
    LOGINS.labels("failed").inc()
    address = _address(request)
    reached = [_counted(name) >= failures_max for name, failures_max in _names(username, address)]
    if any(reached):
        words = f"too many failed logins: nobody is let in for up to {WINDOW_S // 60} minutes"
        log.warning("login of %r from %s: %s", username, address or "an unknown address", words)
        audit.append("portal.login.throttled", username, who="anonymous", address=address or None, reason=words)


def succeeded(sender: object, request: HttpRequest | None, user: Any, **_: object) -> None:
    """Forgives the account's failures from this address (signal `user_logged_in`); others stay, or a guesser with an
    account of his own would clear his address between two tries."""
    if request is None:
        return
    LOGINS.labels("succeeded").inc()
    name, _failures_max = _names(user.get_username(), _address(request))[0]
    _own.delete(name)
    try:
        cache.delete(name)
    except Exception as error:
        _away(error)


def forgive(username: str, address: str) -> None:
    """Forget the failures of the account, of the address and of both, for an administrator (docs/runbook.md)."""
    for name, _failures_max in _names(username, address):
        _own.delete(name)
        cache.delete(name)


def _names(username: str, address: str) -> list[tuple[str, int]]:
    """Names of the counts, by digest: an account's name is anything that somebody typed."""
    account = hashlib.sha256(username.strip().casefold().encode("utf-8", "replace")).hexdigest()[:32]
    return [
        (f"login:{account}:{address}", PAIR_FAILURES_MAX),
        (f"login:{address}", ADDRESS_FAILURES_MAX),
        (f"login:{account}", ACCOUNT_FAILURES_MAX),
    ]


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR") or "")


def _count(name: str) -> int:
    try:
        shared = int(cache.get(name) or 0)
    except Exception as error:
        _away(error)
        shared = 0
    return max(shared, int(_own.get(name) or 0))


def _counted(name: str) -> int:
    """The count with one more."""
    try:
        return _one_more(cache, name)
    except Exception as error:
        _away(error)
        return _one_more(_own, name)


def _one_more(counts: BaseCache, name: str) -> int:
    counts.add(name, 0, WINDOW_S)
    try:
        return counts.incr(name)
    except ValueError:  # it ran out between the two
        counts.set(name, 1, WINDOW_S)
        return 1


def _away(error: Exception) -> None:
    if not _own.add("said", True, SAID_EVERY_S):
        return
    log.warning("the cache is away, this process counts failed logins by itself: %s: %s", type(error).__name__, error)
