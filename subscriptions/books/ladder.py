"""The two sides of one board's order book, read from a depth record as the wire's own text.

A level is a pair (price text, quantity text); no number passes through a float. Nearly every image is in order as it
comes, which one look at the prices shows; what is not (a price twice, a level without quantity, a wrong order) is put
in order once, so that a ladder always has each price once, best first. A price of 0 is a market order of an auction
(ATO, ATC): it is better than every limit price, on both sides.
"""

from __future__ import annotations

from decimal import Decimal

from subscriptions.books.numbers import decimal_text, normal

Level = tuple[bytes, bytes]  # (price, quantity) as on the wire
FULL = 0  # a ladder that is not cut
LEVELS = (1, 3, 5, 10, FULL)  # the variants of `depth` and `book`

_BIDS, _ASKS = b',"b":[', b',"a":['


class Ladder:
    """Bids and asks of one board, best first. Sides are read when they are first asked for, cuts are made once."""

    __slots__ = ("_asks", "_bids", "_cuts", "asks_text", "bids_text", "level")

    def __init__(self, bids_text: bytes, asks_text: bytes) -> None:
        """The insides of the arrays: `98500.0,200],[98400.0,400`; empty for an empty side."""
        self.bids_text = bids_text
        self.asks_text = asks_text
        self.level = FULL
        self._bids: list[Level] | None = None
        self._asks: list[Level] | None = None
        self._cuts: dict[int, Ladder] = {}

    @classmethod
    def of(cls, record: bytes) -> Ladder:
        """The ladder of a depth record (or of a book's snapshot). Raises ValueError for an array without an end."""
        return cls(_inside(record, _BIDS), _inside(record, _ASKS))

    @classmethod
    def of_levels(cls, bids: list[Level], asks: list[Level]) -> Ladder:
        """A ladder from levels that are in order already."""
        return cls(side_text(bids)[2:-2], side_text(asks)[2:-2])

    @classmethod
    def empty(cls) -> Ladder:
        return cls(b"", b"")

    @property
    def bids(self) -> list[Level]:
        if self._bids is None:
            self._bids = read_side(self.bids_text, bids=True)
        return self._bids

    @property
    def asks(self) -> list[Level]:
        if self._asks is None:
            self._asks = read_side(self.asks_text, bids=False)
        return self._asks

    def cut(self, level: int) -> Ladder:
        """The best `level` levels of each side; made once however often it is asked for."""
        if level == FULL or 0 < self.level <= level:
            return self
        found = self._cuts.get(level)
        if found is None:
            found = self._cuts[level] = Ladder(self.bids_text, self.asks_text)
            found.level = level
            found._bids, found._asks = self.bids[:level], self.asks[:level]
        return found

    def __eq__(self, other: object) -> bool:
        """Equal in value: `118500.0` and `118500` are the same price."""
        if not isinstance(other, Ladder):
            return NotImplemented
        return self.values() == other.values()

    __hash__ = None  # type: ignore[assignment]  # compared by value, never a key

    def values(self) -> tuple[list[Level], list[Level]]:
        """Both sides in the one spelling of each number."""
        return (
            [(normal(price), normal(quantity)) for price, quantity in self.bids],
            [(normal(price), normal(quantity)) for price, quantity in self.asks],
        )

    def __repr__(self) -> str:
        return f"Ladder({side_text(self.bids).decode()}, {side_text(self.asks).decode()})"


def read_side(text: bytes, *, bids: bool) -> list[Level]:
    """The levels of one side from the inside of its array, each price once and best first."""
    if not text:
        return []
    numbers = text.replace(b"],[", b",").split(b",")
    prices, quantities = numbers[0::2], numbers[1::2]
    levels = list(zip(prices, quantities, strict=True))
    try:
        values = list(map(float, prices))
        whole = min(map(float, quantities)) > 0
    except ValueError:  # a null
        return put_in_order(levels, bids=bids)
    limits = values[1:] if values[0] == 0 else values  # an auction's market order stands before every limit
    # Floats may be compared: of two different prices the greater never has the smaller float. Equal ones are looked at.
    if whole and 0.0 not in limits and limits == sorted(set(limits), reverse=bids):
        return levels
    return put_in_order(levels, bids=bids)


def put_in_order(levels: list[Level], *, bids: bool) -> list[Level]:
    """The general way: leave out what has no price or quantity, add up what stands at one price, sort best first."""
    found: dict[Decimal, tuple[bytes, Decimal, bytes]] = {}
    for price, quantity in levels:
        if price == b"null" or quantity == b"null":
            continue
        at, amount = Decimal(price.decode()), Decimal(quantity.decode())
        if amount <= 0:
            continue
        before = found.get(at)
        if before is None:
            found[at] = (price, amount, quantity)
        else:
            total = before[1] + amount
            found[at] = (before[0], total, decimal_text(total))
    ordered = sorted(found, key=lambda at: (at != 0, -at if bids else at))
    return [(found[at][0], found[at][2]) for at in ordered]


def side_text(levels: list[Level]) -> bytes:
    """The JSON array of a side."""
    return b"[" + b",".join([b"[%b,%b]" % level for level in levels]) + b"]"


def _inside(record: bytes, opening: bytes) -> bytes:
    start = record.find(opening)
    if start < 0:
        return b""
    start += len(opening)
    if record[start : start + 1] != b"[":
        return b""
    return record[start + 1 : record.index(b"]]", start)]
