"""The close codes of `mdds.v1`, each with what the client may do next."""

from __future__ import annotations

import json
from enum import IntEnum


class CloseCode(IntEnum):
    """4000–4099: reconnect and resume; 4100–4199: reconnect after a change; 4400–4499: do not reconnect."""

    NORMAL = 1000
    PROTOCOL = 1002
    UNSUPPORTED_DATA = 1003
    TOO_BIG = 1009
    INTERNAL = 1011
    SHUTDOWN = 4000
    SLOW = 4001
    NO_PONG = 4003
    STATE_LOST = 4004
    TAKEN_OVER = 4101
    RATE = 4102
    AUTH = 4401
    ENTITLEMENT = 4403
    BANNED = 4429


REASON_BYTES_MAX = 123  # RFC 6455: a control frame carries 125 bytes, two of them are the code


def may_reconnect(code: int) -> bool:
    """Whether a client may come back with the same credentials."""
    return not 4400 <= code <= 4499


def close_reason(code: str, *, retry_after_ms: int | None = None) -> str:
    """The JSON text of a close frame; `code` is one of the error codes of the protocol."""
    reason = json.dumps({"code": code, "retry_after_ms": retry_after_ms}, separators=(",", ":"))
    if len(reason.encode()) > REASON_BYTES_MAX:
        raise ValueError(f"a close reason holds at most {REASON_BYTES_MAX} bytes, got {len(reason.encode())}")
    return reason


# The close that follows an authentication error, by its error code; anything else closes with AUTH.
CLOSE_OF_ERROR = {
    "AUTH_REQUIRED": CloseCode.AUTH,
    "AUTH_FAILED": CloseCode.AUTH,
    "KEY_REVOKED": CloseCode.AUTH,
    "KEY_EXPIRED": CloseCode.AUTH,
    "IP_NOT_ALLOWED": CloseCode.AUTH,
    "CONTRACT_ENDED": CloseCode.ENTITLEMENT,
    "NOT_ENTITLED": CloseCode.ENTITLEMENT,
    "SESSION_LIMIT": CloseCode.RATE,
    "RATE_LIMIT": CloseCode.RATE,
    "BANNED": CloseCode.BANNED,
    "TOO_LARGE": CloseCode.TOO_BIG,
    "SHUTDOWN": CloseCode.SHUTDOWN,
    "OVERLOADED": CloseCode.SHUTDOWN,
}
