"""The checksum of a book: CRC32 over its top ten levels as text (docs/protocol/book.md of the server)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from zlib import crc32

from mdds_client.records import Level, Number

CRC_LEVELS = 10  # of each side


def book_checksum(bids: Sequence[Level], offers: Sequence[Level]) -> int:
    """Both sides best first; `price:quantity` joined by `:`, the two sides by `|`."""
    sides = (
        ":".join(f"{plain(price)}:{plain(quantity)}" for price, quantity in side[:CRC_LEVELS])
        for side in (bids, offers)
    )
    return crc32("|".join(sides).encode())


def plain(number: Number) -> str:
    """The shortest plain spelling: no exponent, no zeros at the end of a fraction."""
    if isinstance(number, int):
        return str(number)
    text = str(number)
    if "e" in text or "E" in text:
        text = format(Decimal(text), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
