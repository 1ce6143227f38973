"""Where and how a client connects: arguments first, then the environment, then the defaults."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict
from urllib.parse import urlsplit, urlunsplit

from mdds_client.closings import Closing
from mdds_client.errors import AuthFailed, BadParam

Encoding: TypeAlias = Literal["json", "msgpack"]
DEFAULT_URL = "ws://127.0.0.1:8000/stream/v1"
SUBPROTOCOLS: dict[Encoding, str] = {"json": "mdds.v1.json", "msgpack": "mdds.v1.msgpack"}
SUBPROTOCOL = SUBPROTOCOLS["json"]
FRAME_BYTES_MAX = 16 * 1024 * 1024  # a larger frame ends the connection with 1009


class ClientOptions(TypedDict, total=False):
    """The options of a client."""

    exact: bool
    encoding: Encoding
    api_url: str | None
    resume: bool
    on_notice: Callable[[dict[str, Any]], None] | None
    on_change: Callable[[Closing], bool] | None
    wait_for_server: bool
    takeover: bool
    open_timeout_s: float
    request_timeout_s: float
    ssl_context: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class Settings:
    """A client's settings, checked.

    `exact`: numbers with a point become Decimal with every digit as sent, instead of float.
    `encoding`: `msgpack` carries the same records in fewer bytes; its numbers with a point are floats.
    `api_url`: the REST interface, `MDDS_API_URL`; by default `/api/v1` of the stream's own host and port.
    `resume`: after a reconnect ask for what was missed (the default), or start again with the last images.
    `on_notice`: called with each notice and each unasked error of the server.
    `on_change`: asked when the server says "reconnect after a change" (4100-4199); True once the change is made.
    `takeover`: over the limit of sessions, end this subscriber's oldest one instead of being refused.
    `wait_for_server`: an unreachable server at the start is waited for instead of raised.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)
    exact: bool = False
    encoding: Encoding = "json"
    api_url: str | None = None
    resume: bool = True
    on_notice: Callable[[dict[str, Any]], None] | None = None
    on_change: Callable[[Closing], bool] | None = None
    wait_for_server: bool = False
    takeover: bool = False
    open_timeout_s: float = 15.0
    request_timeout_s: float = 10.0
    ssl_context: ssl.SSLContext | None = None


def client_settings(
    url: str | None, api_key: str | None, *, options: ClientOptions, environment: Mapping[str, str] = os.environ
) -> Settings:
    """The settings of a client; raises BadParam for a wrong URL and AuthFailed for a key that cannot be one."""
    address = url or environment.get("MDDS_URL") or DEFAULT_URL
    key = api_key or environment.get("MDDS_API_KEY") or None
    _check_url(address)
    if key is not None and not (key.isascii() and key.isprintable() and " " not in key):
        raise AuthFailed("the API key holds characters that no key has (spaces, line ends or non-ASCII)")
    checked: ClientOptions = {"api_url": environment.get("MDDS_API_URL") or None, **options}
    try:
        settings = Settings(address, key, **checked)
    except TypeError as error:
        raise BadParam(str(error).removeprefix("Settings.__init__() ")) from None
    if settings.encoding not in SUBPROTOCOLS:
        raise BadParam(f"encoding: expected one of {', '.join(SUBPROTOCOLS)}, got {settings.encoding!r}")
    if settings.exact and settings.encoding == "msgpack":
        raise BadParam("exact: msgpack carries floats; use the json encoding to have every digit as sent")
    return settings


def api_url(settings: Settings) -> str:
    """Where the REST interface is, without a slash at the end."""
    if settings.api_url is not None:
        return settings.api_url.rstrip("/")
    parts = urlsplit(settings.url)
    return urlunsplit(("https" if parts.scheme == "wss" else "http", parts.netloc, "/api/v1", "", ""))


def stream_url(settings: Settings) -> str:
    """The address to connect to: with the wish to take over, which a key in a header cannot say otherwise."""
    if not settings.takeover:
        return settings.url
    parts = urlsplit(settings.url)
    query = f"{parts.query}&takeover=true" if parts.query else "takeover=true"
    return urlunsplit(parts._replace(query=query))


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine, which no proxy may stand before."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise BadParam(f"url: {error}: {url!r}") from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise BadParam(f"url: expected ws://host:port/stream/v1 or wss://…, got {url!r}")
    if parts.username or parts.password or "mdds_live_" in url:
        raise BadParam("url: a key never goes into a URL; use api_key or MDDS_API_KEY")
