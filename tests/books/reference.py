"""A book and a client as docs/protocol/book.md says them, slow and plain, with nothing of the code under test."""

from __future__ import annotations

import json
from decimal import Decimal
from zlib import crc32

Row = dict[str, object]
Levels = list[tuple[Decimal, Decimal]]


def row_of(record: bytes) -> Row:
    """A record's members; numbers keep their value."""
    return json.loads(record, parse_float=Decimal, parse_int=Decimal)


def ordered(levels: dict[Decimal, Decimal], side: str) -> Levels:
    """Best first; the market orders' level (price 0) before every limit."""
    limits = sorted((price for price in levels if price != 0), reverse=side == "b")
    return [(price, levels[price]) for price in [*([Decimal(0)] if 0 in levels else []), *limits]]


def book_of(depth: Row, side: str) -> Levels:
    """One side of a depth image: each price once, with what stands at it."""
    levels: dict[Decimal, Decimal] = {}
    for price, quantity in depth[side]:  # type: ignore[attr-defined]
        if price is not None and quantity is not None and quantity > 0:
            levels[price] = levels.get(price, Decimal(0)) + quantity
    return ordered(levels, side)


def plain(number: Decimal) -> str:
    """The shortest plain spelling."""
    text = format(abs(number) if number == 0 else number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def crc_of(bids: Levels, asks: Levels) -> int:
    sides = (":".join(f"{plain(price)}:{plain(quantity)}" for price, quantity in side[:10]) for side in (bids, asks))
    return crc32("|".join(sides).encode())


class Gap(Exception):
    """The client would subscribe again."""


class Follower:
    """One stream's books by board, kept by the book rule alone."""

    def __init__(self) -> None:
        self.n = Decimal(0)
        self.epoch: object = None
        self.boards: dict[object, dict[str, dict[Decimal, Decimal]]] = {}
        self.checked = 0

    def take(self, record: bytes) -> None:
        self.take_row(row_of(record))

    def take_row(self, row: Row) -> None:
        if row["kind"] == "snap":
            if self.epoch != row["ep"]:
                self.n, self.epoch = Decimal(0), row["ep"]
                self.boards.clear()
            self.boards[row["bd"]] = {side: dict(map(tuple, row[side])) for side in "ba"}  # type: ignore[call-overload]
            self.n = max(self.n, row["n"])  # type: ignore[call-overload]
        else:
            if row["ep"] != self.epoch or row["n"] != self.n + 1:
                raise Gap(row["n"])
            self.n += 1
            # "A further board's first record may be a delta: to a book without levels."
            board = self.boards.setdefault(row["bd"], {"b": {}, "a": {}})
            for side in "ba":
                levels = board[side]
                seen = [price for price, _ in row[side]]  # type: ignore[attr-defined]
                assert len(seen) == len(set(seen)), "a price stands twice in a side"
                for price, quantity in row[side]:  # type: ignore[attr-defined]
                    if quantity == 0:
                        del levels[price]  # what is gone was there
                    else:
                        assert levels.get(price) != quantity, "a level that did not change"
                        levels[price] = quantity
        if "crc" in row:
            self.checked += 1
            assert row["crc"] == crc_of(self.side(row["bd"], "b"), self.side(row["bd"], "a"))
        else:
            assert row["n"] % 100 != 0  # type: ignore[operator]

    def side(self, board: object, side: str) -> Levels:
        return ordered(self.boards[board][side], side)
