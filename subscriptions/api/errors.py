"""The errors of the REST interface: the socket's codes in the socket's shape, with the HTTP status each stands for."""

from __future__ import annotations

# Codes that exist on HTTP only: CONFLICT, METHOD_NOT_ALLOWED. Everything else is the stream's.
STATUS_OF_CODE = {
    "BAD_JSON": 400,
    "BAD_PARAM": 422,
    "TOO_LARGE": 413,
    "AUTH_REQUIRED": 401,
    "AUTH_FAILED": 401,
    "KEY_REVOKED": 401,
    "KEY_EXPIRED": 401,
    "IP_NOT_ALLOWED": 403,
    "NOT_ENTITLED": 403,
    "LEVEL_NOT_ENTITLED": 403,
    "DELAYED_ONLY": 403,
    "CONTRACT_ENDED": 403,
    "SYMBOL_UNKNOWN": 404,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "CONFLICT": 409,
    "REPLAY_AGED_OUT": 409,
    "RATE_LIMIT": 429,
    "SESSION_LIMIT": 429,
    "INTERNAL": 500,
    "FEED_DOWN": 503,
    "OVERLOADED": 503,
    "SHUTDOWN": 503,
}
RETRY_AFTER_MS = 1_000  # where nothing better is known


class ApiError(Exception):
    """The caller's mistake, or ours, as it is told to them."""

    def __init__(self, code: str, message: str, *, retry_after_ms: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
        if retry_after_ms is None and self.status in (429, 503):
            retry_after_ms = RETRY_AFTER_MS
        self.retry_after_ms = retry_after_ms

    @property
    def status(self) -> int:
        return STATUS_OF_CODE.get(self.code, 400)

    def body(self) -> dict[str, object]:
        """`{"t":"error","id":null,"code":…}`: what a socket would have sent."""
        return {
            "t": "error",
            "id": None,
            "code": self.code,
            "fatal": False,
            "retry_after_ms": self.retry_after_ms,
            "msg": self.message,
        }

    def headers(self) -> dict[str, str]:
        """`Retry-After` in whole seconds, rounded up; how to authenticate with a 401."""
        found = {}
        if self.retry_after_ms is not None:
            found["Retry-After"] = str(-(-self.retry_after_ms // 1000))
        if self.status == 401:
            found["WWW-Authenticate"] = 'Bearer realm="mdds"'
        return found
