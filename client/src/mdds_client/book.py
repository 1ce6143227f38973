"""A local view of one symbol's order book, kept from the images of the `depth` channel."""

from __future__ import annotations

from decimal import Decimal

from mdds_client.records import Depth, Level, Number

MAIN_BOARD = "G1"


class Book:
    """The last image of one board. Reading is safe from any thread: an update replaces the image as a whole."""

    def __init__(self, symbol: str, *, board: str | None = MAIN_BOARD, origin: str | None = None) -> None:
        self.symbol = symbol
        self.board = board
        self.origin = origin
        self.updates = 0
        self.image: Depth | None = None

    def apply(self, record: Depth) -> bool:
        """Take an image; False when it is another board's or older than the one held."""
        if record.symbol != self.symbol or record.job != self.origin:
            return False
        if self.board is not None and record.board is not None and record.board != self.board:
            return False
        held = self.image
        if held is not None and held.epoch == record.epoch and record.n <= held.n:
            return False
        self.image = record
        self.updates += 1
        return True

    @property
    def bids(self) -> tuple[Level, ...]:
        """Best first; empty before the first image."""
        return self.image.bids if self.image is not None else ()

    @property
    def offers(self) -> tuple[Level, ...]:
        return self.image.offers if self.image is not None else ()

    @property
    def best_bid(self) -> Level | None:
        return next(iter(self.bids), None)

    @property
    def best_offer(self) -> Level | None:
        return next(iter(self.offers), None)

    @property
    def spread(self) -> Number | None:
        """Best offer less best bid; None while a side is empty."""
        bid, offer = self.best_bid, self.best_offer
        return None if bid is None or offer is None else _difference(offer.price, bid.price)

    @property
    def last_update(self) -> str | None:
        """Exchange time of the image (ISO, UTC)."""
        return self.image.exchange_time if self.image is not None else None

    @property
    def received_ns(self) -> int | None:
        """When the service received it, ns since 1970."""
        return self.image.received_ns if self.image is not None else None

    def __repr__(self) -> str:
        bid, offer = self.best_bid, self.best_offer
        return (
            f"Book({self.symbol}: {bid.quantity if bid else '-'} @ {bid.price if bid else '-'}"
            f" | {offer.price if offer else '-'} @ {offer.quantity if offer else '-'})"
        )


def _difference(left: Number, right: Number) -> Number:
    """Exact for Decimal and int, and without the dust of binary fractions for float."""
    if isinstance(left, float) or isinstance(right, float):
        return float(Decimal(str(left)) - Decimal(str(right)))
    return left - right
