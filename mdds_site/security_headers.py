"""Adds the content security policy, with a fresh nonce, to every response."""

import secrets
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponseBase

# The admin's Alpine.js evaluates expressions in attributes: it needs unsafe-eval, the portal does not.
ADMIN_SCRIPT = "'unsafe-eval'"
ADMIN_PATH = "/admin/"


def policy(nonce: str, *, admin: bool, connect: str = "") -> str:
    """The policy's text. `connect`: an origin beside our own that scripts may open connections to.

    Styles may be inline (attributes set by charts), scripts only with the nonce."""
    script = f"'self' 'nonce-{nonce}'" + (f" {ADMIN_SCRIPT}" if admin else "")
    parts = {
        "default-src": "'self'",
        "script-src": script,
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": f"'self' {connect}".strip(),
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in parts.items())


def _finish(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    connect = getattr(request, "csp_connect", "")  # a view's wish: the gateway, where it is not at our own address
    text = policy(request.csp_nonce, admin=request.path.startswith(ADMIN_PATH), connect=connect)  # type: ignore[attr-defined]
    response.headers.setdefault("Content-Security-Policy", text)
    response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    return response


type_of_next = Callable[[HttpRequest], HttpResponseBase] | Callable[[HttpRequest], Awaitable[HttpResponseBase]]


def content_security_policy(get_response: type_of_next) -> type_of_next:
    """Middleware; `request.csp_nonce` (template: `{{ csp_nonce }}`) is the nonce of this response."""
    if iscoroutinefunction(get_response):

        async def async_middleware(request: HttpRequest) -> HttpResponseBase:
            request.csp_nonce = secrets.token_urlsafe(16)  # type: ignore[attr-defined]
            return _finish(request, await get_response(request))  # type: ignore[misc]

        return markcoroutinefunction(async_middleware)

    def middleware(request: HttpRequest) -> HttpResponseBase:
        request.csp_nonce = secrets.token_urlsafe(16)  # type: ignore[attr-defined]
        return _finish(request, get_response(request))  # type: ignore[arg-type]

    return middleware


content_security_policy.sync_capable = True  # type: ignore[attr-defined]
content_security_policy.async_capable = True  # type: ignore[attr-defined]


def csp_nonce(request: HttpRequest) -> dict[str, str]:
    """Context processor."""
    return {"csp_nonce": getattr(request, "csp_nonce", "")}
