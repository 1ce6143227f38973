"""Cursors of paged answers: opaque to the client, checked when they come back."""

from __future__ import annotations

import base64
import binascii
import json

from subscriptions.api.errors import ApiError

CHARACTERS_MAX = 512


def encode(*parts: str | int) -> str:
    """A cursor of these parts."""
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=True)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode(cursor: str, *kinds: type) -> list[object]:
    """The parts of a cursor, of these kinds; ApiError BAD_PARAM for any other text."""
    try:
        if len(cursor) > CHARACTERS_MAX:
            raise ValueError("too long")
        padded = cursor + "=" * (-len(cursor) % 4)
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(parts, list) or [type(part) for part in parts] != list(kinds):
            raise ValueError("other parts")
    except (ValueError, binascii.Error, RecursionError):
        raise ApiError("BAD_PARAM", "cursor: expected one of an earlier answer, as it came") from None
    return parts
