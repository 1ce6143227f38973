"""The `quote` of a depth record: the best bid and the best offer, as an image of its own."""

from __future__ import annotations

from subscriptions.books.book import record_head
from subscriptions.books.ladder import Ladder, Level


def quote(record: bytes, ladder: Ladder | None = None) -> bytes:
    """The level 1 image under the depth record's head and number; null where a side is empty. In an auction a price
    of 0 is the market orders' level (ATO, ATC). `ladder` is the record's, where the caller has read it already."""
    ladder = ladder or Ladder.of(record)
    return b'%b,"bp":%b,"bq":%b,"ap":%b,"aq":%b}' % (
        record_head(record, b"quote"),
        *_best(ladder.bids),
        *_best(ladder.asks),
    )


def _best(levels: list[Level]) -> Level:
    return levels[0] if levels else (b"null", b"null")
