"""What the end of a connection means: come back, come back after a change, or stay away."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from mdds_client.errors import ConnectionFailed, MddsError, error_of

RETRY_AFTER_MS_MAX = 300_000  # a longer wish of the server is cut to five minutes


class Next(Enum):
    """The three close families of the protocol."""

    RECONNECT = "reconnect"
    AFTER_CHANGE = "after a change"
    NEVER = "do not reconnect"


@dataclass(frozen=True, slots=True)
class Closing:
    """One ended (or never begun) connection: `code` is the close code, the HTTP status, or None."""

    code: int | None
    next: Next
    error: MddsError
    retry_after_ms: int | None = None

    def __str__(self) -> str:
        message = self.error.message
        text = message if self.error.code in message else f"{self.error.code}: {message}"
        return text if self.code is None or self.code < 1000 else f"{self.code} {text}"


# A close without a usable reason: what its number says by itself.
_ERROR_OF_CLOSE = {
    4000: "SHUTDOWN",
    4001: "SLOW",
    4003: "NO_PONG",
    4004: "STATE_LOST",
    4101: "TAKEN_OVER",
    4102: "RATE_LIMIT",
    4401: "AUTH_FAILED",
    4403: "NOT_ENTITLED",
    4429: "BANNED",
}
_TEXT_OF_CLOSE = {
    1006: "the connection broke",
    4000: "the server shuts down",
    4001: "this client read too slowly",
    4003: "the server got no pong",
    4004: "the server lost the session's state",
    4101: "another session of this key took over",
    4102: "too many operations",
    4401: "authentication failed",
    4403: "not entitled",
    4429: "banned",
}
# RFC 6455 closes that say "you broke the protocol": the same client would break it again.
_OUR_MISTAKE = frozenset({1002, 1003, 1007, 1008, 1009, 1010})


def read_close(code: int, reason: str, *, last_error: MddsError | None = None) -> Closing:
    """The meaning of a close frame; `last_error` is the fatal error frame that came before it, if any."""
    members = _members(reason)
    retry_after_ms = _milliseconds(members.get("retry_after_ms"))
    after = _next_of(code)
    error = last_error if after is not Next.RECONNECT else None
    if error is None:
        name = members.get("code")
        text = members.get("msg")
        default = _TEXT_OF_CLOSE.get(code, f"the server closed the connection ({code})")
        if isinstance(name, str) and name != _ERROR_OF_CLOSE.get(code):
            default = f"{default}: {name.lower().replace('_', ' ')}"
        if not members and reason:
            default = f"{default}: {reason}"
        error = error_of(
            name if isinstance(name, str) else _ERROR_OF_CLOSE.get(code, "CONNECTION_FAILED"),
            text if isinstance(text, str) and text else default,
            retry_after_ms=retry_after_ms,
        )
        if error.code == "CONNECTION_FAILED":
            error = ConnectionFailed(error.message, retry_after_ms=retry_after_ms)
    if retry_after_ms is None:
        retry_after_ms = error.retry_after_ms
    return Closing(code, after, error, retry_after_ms)


def read_refusal(status: int, body: str, *, retry_after_s: str | None = None) -> Closing:
    """The meaning of an HTTP answer to the handshake that is not 101."""
    retry_after_ms = int(retry_after_s) * 1000 if retry_after_s is not None and retry_after_s.isdecimal() else None
    members = _members(body)
    code, text = members.get("code"), members.get("msg") or members.get("error")
    after = Next.RECONNECT if status == 429 or status >= 500 else Next.NEVER
    default = {401: "AUTH_FAILED", 403: "AUTH_FAILED", 429: "RATE_LIMIT", 503: "OVERLOADED"}.get(status)
    message = text if isinstance(text, str) and text else f"the server refused the connection: HTTP {status}"
    if isinstance(code, str):
        return Closing(status, after, error_of(code, message, retry_after_ms=retry_after_ms), retry_after_ms)
    if default is not None:
        return Closing(status, after, error_of(default, message, retry_after_ms=retry_after_ms), retry_after_ms)
    return Closing(status, after, ConnectionFailed(message, retry_after_ms=retry_after_ms), retry_after_ms)


def unreachable(message: str) -> Closing:
    """No server, no name, no answer: worth trying again."""
    return Closing(None, Next.RECONNECT, ConnectionFailed(message))


def _next_of(code: int) -> Next:
    if 4400 <= code <= 4499 or code in _OUR_MISTAKE:
        return Next.NEVER
    if 4100 <= code <= 4199:
        return Next.AFTER_CHANGE
    return Next.RECONNECT


def _members(text: str) -> dict[str, object]:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


def _milliseconds(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return int(min(value, RETRY_AFTER_MS_MAX))
