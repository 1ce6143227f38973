"""Believes X-Forwarded-For from the listed proxies only, whichever server runs the site: addresses are in key limits,
the login throttle and the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from asgiref.typing import ASGI3Application
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware


def behind(proxies: Sequence[str], application: ASGI3Application) -> ASGI3Application:
    """`application` with the client's address taken from `proxies` (addresses or networks), if there are any."""
    return ProxyHeadersMiddleware(application, trusted_hosts=list(proxies)) if proxies else application
