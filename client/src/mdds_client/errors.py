"""The exceptions of the client: one class per error code of `mdds.v1`, grouped in families one can catch whole."""

from __future__ import annotations


class MddsError(Exception):
    """Anything that MDDS refused or that failed on the way to it. `code` is the protocol's, `message` the server's."""

    code = "INTERNAL"

    def __init__(self, message: str = "", *, code: str | None = None, retry_after_ms: int | None = None) -> None:
        self.code = code or type(self).code
        self.message = message or self.code
        self.retry_after_ms = retry_after_ms
        super().__init__(self.message)


# --------------------------------------------------------------------------------------------- families
class RequestError(MddsError):
    """The operation itself was wrong."""


class AuthError(MddsError):
    """Who asks is not known, or no longer."""


class EntitlementError(MddsError):
    """The key is good, the right is missing."""


class LimitError(MddsError):
    """The plan's limits are used up."""


class DataError(MddsError):
    """What was asked for does not exist (any more)."""


class ServerError(MddsError):
    """The server cannot serve now."""


class ConnectionFailed(MddsError):
    """No working connection: no server, no such path, or lost and not to be made again."""

    code = "CONNECTION_FAILED"


class RequestTimeout(MddsError):
    """The server did not answer an operation in time."""

    code = "REQUEST_TIMEOUT"


class ClientClosed(MddsError):
    """The client was closed by its own program."""

    code = "CLIENT_CLOSED"


# ----------------------------------------------------------------------------------- one per protocol code
class BadJson(RequestError):
    code = "BAD_JSON"


class UnknownOp(RequestError):
    code = "UNKNOWN_OP"


class BadParam(RequestError):
    code = "BAD_PARAM"


class NotSubscribed(RequestError):
    code = "NOT_SUBSCRIBED"


class TooLarge(RequestError):
    code = "TOO_LARGE"


class AuthRequired(AuthError):
    code = "AUTH_REQUIRED"


class AuthFailed(AuthError):
    code = "AUTH_FAILED"


class KeyRevoked(AuthError):
    code = "KEY_REVOKED"


class KeyExpired(AuthError):
    code = "KEY_EXPIRED"


class IpNotAllowed(AuthError):
    code = "IP_NOT_ALLOWED"


class NotEntitled(EntitlementError):
    code = "NOT_ENTITLED"


class LevelNotEntitled(EntitlementError):
    code = "LEVEL_NOT_ENTITLED"


class DelayedOnly(EntitlementError):
    code = "DELAYED_ONLY"


class ContractEnded(EntitlementError):
    code = "CONTRACT_ENDED"


class SessionLimit(LimitError):
    code = "SESSION_LIMIT"


class SymbolLimit(LimitError):
    code = "SYMBOL_LIMIT"


class RateLimit(LimitError):
    code = "RATE_LIMIT"


class Banned(LimitError):
    code = "BANNED"


class TakenOver(LimitError):
    code = "TAKEN_OVER"


class SymbolUnknown(DataError):
    code = "SYMBOL_UNKNOWN"


class ResumeEpoch(DataError):
    code = "RESUME_EPOCH"


class ResumeAgedOut(DataError):
    code = "RESUME_AGED_OUT"


class ReplayAgedOut(DataError):
    code = "REPLAY_AGED_OUT"


class FeedDown(DataError):
    code = "FEED_DOWN"


class NotFound(DataError):
    code = "NOT_FOUND"


class Conflict(RequestError):
    code = "CONFLICT"


class Internal(ServerError):
    code = "INTERNAL"


class Overloaded(ServerError):
    code = "OVERLOADED"


class Shutdown(ServerError):
    code = "SHUTDOWN"


_FAMILIES = (RequestError, AuthError, EntitlementError, LimitError, DataError, ServerError)
ERROR_OF_CODE: dict[str, type[MddsError]] = {
    error.code: error for family in _FAMILIES for error in family.__subclasses__()
}


def error_of(code: str, message: str = "", *, retry_after_ms: int | None = None) -> MddsError:
    """The exception that mirrors a code of the protocol; a code from a newer server is a plain MddsError."""
    return ERROR_OF_CODE.get(code, MddsError)(message, code=code, retry_after_ms=retry_after_ms)
