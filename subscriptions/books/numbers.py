"""Decimal numbers as wire text: one spelling for each value, without a float in between."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

SPELLINGS_MAX = 65_536  # past it: the spelling that was asked for longest ago is worked out again


@lru_cache(SPELLINGS_MAX)
def normal(text: bytes) -> bytes:
    """The shortest plain spelling of a JSON number: `118500.0` and `118500.00` become `118500`, `-0.0` becomes `0`."""
    if b"e" in text or b"E" in text:
        text = format(Decimal(text.decode()), "f").encode()
    if b"." in text:
        text = text.rstrip(b"0").rstrip(b".")
    return b"0" if text in (b"-0", b"") else text


def decimal_text(value: Decimal) -> bytes:
    """A sum or product as a JSON number, in the digits it has and never with an exponent."""
    return format(value, "f").encode()
