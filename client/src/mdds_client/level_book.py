"""One board's book kept from a snapshot and its deltas, checked where they carry `crc`."""

from __future__ import annotations

from enum import Enum

from mdds_client.checksum import book_checksum
from mdds_client.records import BookUpdate, Level, Number


class Applied(Enum):
    """What a record did to a book."""

    NEW = "new"
    OLD = "old"  # not above the number that the book has
    GAP = "gap"  # it does not follow: the book waits for a snapshot
    BAD_CHECKSUM = "bad checksum"  # the book is wrong: it waits for a snapshot


class LevelBook:
    """The levels of one board by price."""

    def __init__(self) -> None:
        self.n = 0
        self.epoch: str | None = None  # None: waits for a snapshot
        self.bids: tuple[Level, ...] = ()
        self.offers: tuple[Level, ...] = ()
        self._sides: tuple[dict[Number, Number], dict[Number, Number]] = ({}, {})

    @property
    def whole(self) -> bool:
        return self.epoch is not None

    def forget(self) -> None:
        """What comes next does not follow: wait for a snapshot. The last levels stay readable."""
        self.epoch = None

    def begin(self, epoch: str, n: int) -> None:
        """A board without levels yet: its first record may be a delta to nothing."""
        self.epoch, self.n, self.bids, self.offers = epoch, n, (), ()
        self._sides = ({}, {})

    def apply(self, record: BookUpdate) -> Applied:
        """`n` is the stream's, which counts over all boards: whether a delta follows is for who reads the stream."""
        if record.kind == "snap":
            if self.epoch == record.epoch and record.n < self.n:
                return Applied.OLD
            self._sides = (dict(record.bids), dict(record.offers))
            self.epoch = record.epoch
        elif self.epoch != record.epoch:
            return Applied.GAP
        elif record.n <= self.n:
            return Applied.OLD
        else:
            for side, levels in zip(self._sides, (record.bids, record.offers), strict=True):
                for price, quantity in levels:
                    if quantity:
                        side[price] = quantity
                    else:
                        side.pop(price, None)
        self.n = record.n
        bids, offers = self._sides
        self.bids = tuple(Level(price, bids[price]) for price in sorted(bids, key=_bid_order))
        self.offers = tuple(Level(price, offers[price]) for price in sorted(offers, key=_offer_order))
        if record.checksum is not None and record.checksum != book_checksum(self.bids, self.offers):
            self.forget()
            return Applied.BAD_CHECKSUM
        return Applied.NEW


def _bid_order(price: Number) -> tuple[bool, Number]:
    """An auction's market orders (price 0) before every limit, then the highest."""
    return price != 0, -price


def _offer_order(price: Number) -> tuple[bool, Number]:
    return price != 0, price
