"""One security of the fake exchange: its price grid, its tape and its book on each board."""

import random

from feeds.simulator.book import OrderBook
from feeds.simulator.rules import MarketRules
from feeds.simulator.tickers import Listing


class Tape:
    """What traded on one board today: last, open, high and low (as grid places) and the totals of tags 387 and 381."""

    __slots__ = ("high", "last", "last_quantity", "low", "open", "value", "volume")

    def __init__(self) -> None:
        self.last: int | None = None
        self.last_quantity = 0
        self.open = self.high = self.low = 0
        self.volume = 0
        self.value = 0

    def add(self, place: int, quantity: int, value: int) -> None:
        if self.last is None:
            self.open = self.high = self.low = place
        elif place > self.high:
            self.high = place
        elif place < self.low:
            self.low = place
        self.last = place
        self.last_quantity = quantity
        self.volume += quantity
        self.value += value


class Security:
    """A listing on its trading day. Prices are places on `grid`, from the floor (0) to the ceiling."""

    def __init__(self, listing: Listing, rules: MarketRules, rng: random.Random, *, level: str) -> None:
        self.listing = listing
        self.isin = listing.isin
        self._rules = rules
        self._rng = rng
        self._level = level
        self.grid = rules.grid(listing.reference)
        self.price_texts = [rules.price_text(price) for price in self.grid]
        self.reference_text = rules.price_text(listing.reference)
        self.expected_place = self.reference_place
        self.expected_quantity = 0
        self.foreign_share = rng.uniform(0.02, 0.3)
        """Part of the volume that foreigners buy; they sell nine tenths of it."""
        self.foreign_room = int(listing.shares * rng.uniform(0.05, 0.3))
        self._books: dict[str, OrderBook] = {}
        self._tapes: dict[str, Tape] = {}

    @property
    def reference_place(self) -> int:
        reference = self.listing.reference
        return min(range(len(self.grid)), key=lambda place: abs(self.grid[place] - reference))

    @property
    def ceiling_text(self) -> str:
        return self.price_texts[-1]

    @property
    def floor_text(self) -> str:
        return self.price_texts[0]

    def book(self, board: str) -> OrderBook:
        """The board's book, built when it is first needed; odd lots (G4) trade in units."""
        book = self._books.get(board)
        if book is None:
            start = self._books["G1"].bid + 1 if "G1" in self._books else self.reference_place
            lot = 1 if board == "G4" else self._rules.lot
            book = OrderBook(self.price_texts, lot, self._rules.depth, start=start, rng=self._rng, level=self._level)
            self._books[board] = book
        return book

    def tape(self, board: str) -> Tape:
        tape = self._tapes.get(board)
        if tape is None:
            tape = self._tapes[board] = Tape()
        return tape

    def record_trade(self, board: str, place: int, quantity: int) -> Tape:
        tape = self.tape(board)
        tape.add(place, quantity, self.grid[place] * quantity * self._rules.value_per_unit)
        return tape

    def walk_expected(self) -> None:
        """One step of an auction's indicative price and quantity."""
        step = int(self._rng.random() * 3) - 1
        self.expected_place = min(max(self.expected_place + step, 0), len(self.grid) - 1)
        self.expected_quantity += self._rules.lot * (1 + int(self._rng.random() * 30))

    def last_place(self) -> int:
        """The place of the last G1 trade, or of the reference before the first."""
        last = self.tape("G1").last
        return self.reference_place if last is None else last

    def start_auction(self) -> None:
        self.expected_place = self.last_place()
        self.expected_quantity = 0

    def change_percent(self) -> float:
        return (self.grid[self.last_place()] / self.listing.reference - 1) * 100
