"""Who asks: the key or token of a request as its grant, and the request counted against the key's rate."""

from __future__ import annotations

import threading
import time
from typing import Any

from django.db import DatabaseError
from django.http import HttpRequest
from ninja.security import HttpBearer

from subscriptions import authentication
from subscriptions.api.errors import ApiError
from subscriptions.api.rates import Rates
from subscriptions.entitlements import Grant
from subscriptions.protocol import SECRET_CHARACTERS_MAX

FAILURES_PER_S = 1.0  # wrong keys that an address may try; past it: RATE_LIMIT before the database is asked

_rates, _failures, _lock = Rates(), Rates(), threading.Lock()


class KeyAuth(HttpBearer):
    """`Authorization: Bearer <API key or token>`; without one, the public products. `request.auth` is the Grant."""

    openapi_scheme = "bearer"
    openapi_bearerFormat = "API key or JWT"

    def __call__(self, request: HttpRequest) -> Grant:
        secret, address = _secret(request), _address(request)
        grant = self._grant(secret, address)
        _count(grant, address)
        return grant

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        """Not asked: `__call__` answers for requests without a key too."""
        return self._grant(token, _address(request))

    def _grant(self, secret: str | None, address: str) -> Grant:
        try:
            if secret is None:
                return authentication.anonymous_grant()
            return authentication.authenticate(secret, address or None)
        except authentication.AuthError as error:
            with _lock:
                wait_ms = _failures.spend(address, FAILURES_PER_S, at_ns=time.monotonic_ns())
            if wait_ms:
                raise ApiError("RATE_LIMIT", "too many wrong keys from here", retry_after_ms=wait_ms) from None
            raise ApiError(error.code, error.msg) from None
        except DatabaseError as error:
            raise ApiError("OVERLOADED", "keys cannot be checked right now") from error


def require_key(grant: Grant) -> Grant:
    """The grant of a key; AUTH_REQUIRED for nobody's."""
    if not grant.key_id:
        raise ApiError("AUTH_REQUIRED", "this needs a key: Authorization: Bearer <key>")
    return grant


def require_scope(grant: Grant, scope: str) -> Grant:
    """A grant whose key has `scope`."""
    if scope not in grant.scopes:
        code = "NOT_ENTITLED" if grant.key_id else "AUTH_REQUIRED"
        raise ApiError(code, f"this needs a key with the scope {scope}")
    return grant


def grant_of(request: HttpRequest) -> Grant:
    """Who asks; set by KeyAuth before the view runs."""
    grant: Grant = request.auth  # type: ignore[attr-defined]
    return grant


def _count(grant: Grant, address: str) -> None:
    who = grant.key_id or f"address {address}"
    with _lock:
        wait_ms = _rates.spend(who, float(max(1, grant.limits.ops_per_s)), at_ns=time.monotonic_ns())
    if wait_ms:
        raise ApiError("RATE_LIMIT", f"at most {grant.limits.ops_per_s} requests a second", retry_after_ms=wait_ms)


def _secret(request: HttpRequest) -> str | None:
    value = request.headers.get("Authorization")
    if value is None:
        return None
    scheme, _, secret = value.strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret or len(secret) > SECRET_CHARACTERS_MAX:
        raise ApiError("AUTH_FAILED", "expected Authorization: Bearer <key>")
    return secret


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR") or "")
