"""What a failure means to the shell: an exit code and one line."""

from __future__ import annotations

import re

from mdds_client.errors import (
    AuthError,
    ConnectionFailed,
    DataError,
    EntitlementError,
    LimitError,
    MddsError,
    RequestError,
    RequestTimeout,
    ServerError,
)

DONE, FAILED, USAGE, AUTH, NOT_GRANTED, CONNECTION, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

_CODE_OF_FAMILY: tuple[tuple[type[MddsError], int], ...] = (
    (AuthError, AUTH),
    (EntitlementError, NOT_GRANTED),
    (DataError, NOT_GRANTED),
    (RequestError, USAGE),
    (ConnectionFailed, CONNECTION),
    (RequestTimeout, CONNECTION),
    (ServerError, CONNECTION),
    (LimitError, CONNECTION),
)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def exit_code(error: MddsError) -> int:
    return next((code for family, code in _CODE_OF_FAMILY if isinstance(error, family)), FAILED)


def one_line(error: MddsError, *, has_key: bool) -> str:
    """The message for the terminal: the server's words, without control characters, and what to do."""
    text = printable(error.message)
    if error.code not in text and error.code != "CONNECTION_FAILED":
        text = f"{text} ({error.code})"
    if isinstance(error, AuthError) and not has_key:
        text += "; no key was given: set MDDS_API_KEY or use --key"
    return f"mdds: {text}"


def printable(text: str) -> str:
    """Nothing that a server sends may steer the terminal."""
    return _UNPRINTABLE.sub(" ", text).strip()
