"""The limit order book of one symbol on one board, on the grid of its valid prices.

A place is an index into the grid. Bids rest on every place up to `bid`, offers on every place from `ask` on, so levels
are contiguous on the tick grid; between the two lies the spread. Each place keeps its rendered FIX fragment: an image
of the book is two slices, and only the place that changed is formatted again.
"""

import random

from feeds.simulator.layouts import EMPTY_LEVEL

_ORDER_LOTS = 9
"""A resting order has about this many lots: the number of orders of a level follows from its quantity."""


class OrderBook:
    """Places 0..n-1 of the grid; `bid` is -1 without bids and `ask` is n without offers (limit-up, limit-down)."""

    def __init__(self, prices: list[str], lot: int, depth: int, *, start: int, rng: random.Random, level: str) -> None:
        self._prices = prices
        self._lot = lot
        self._depth = depth
        self._level = level
        """The level's fragment, with %s for price text, quantity and number of orders."""
        self._rng = rng
        self._quantity = [self._draw_quantity() for _ in prices]
        self._order_size = lot * _ORDER_LOTS
        self._orders = [-(-quantity // self._order_size) for quantity in self._quantity]
        # empty levels at both ends, so that a slice never leaves the list near the ceiling or the floor
        levels = [level % values for values in zip(prices, self._quantity, self._orders, strict=True)]
        self._fragments = [EMPTY_LEVEL] * (depth + 1) + levels + [EMPTY_LEVEL] * (depth + 1)
        start = min(max(start, 1), len(prices) - 2)
        self.bid = start - 1
        self.ask = start + 1
        self.sell_quantity = self.buy_quantity = self.sell_orders = self.buy_orders = 0
        self._change(start, 0, buy=True)
        self.sell_quantity = sum(self._quantity[self.ask :])
        self.buy_quantity = sum(self._quantity[: self.bid + 1])
        self.sell_orders = sum(self._orders[self.ask :])
        self.buy_orders = sum(self._orders[: self.bid + 1])

    @property
    def last_place(self) -> int:
        return len(self._prices) - 1

    def quantity_at(self, place: int) -> int:
        return self._quantity[place]

    def image(self) -> list[str]:
        """The rendered levels, offer and bid in turn, best first."""
        padding, depth = self._depth + 1, self._depth
        levels = [""] * (2 * depth)
        first_ask, first_bid = padding + self.ask, padding + self.bid
        levels[0::2] = self._fragments[first_ask : first_ask + depth]
        levels[1::2] = self._fragments[first_bid : first_bid - depth : -1]
        return levels

    def rest(self) -> None:
        """One order comes or goes: a new best level when the spread is open, else a change near the top."""
        chance = self._rng.random()
        if self.ask - self.bid > 1:
            self._cross(buy=self._buyers_narrow(chance))
            return
        near = int(chance * chance * self._depth)
        if self._rng.random() < 0.5:
            place = self.bid - near
            if place >= 0:
                self._change(place, self._draw_quantity(), buy=True)
        else:
            place = self.ask + near
            if place <= self.last_place:
                self._change(place, self._draw_quantity(), buy=False)

    def trade(self, *, buy: bool) -> tuple[int, int] | None:
        """An aggressive order meets the best level: (place, quantity), or None when that side is empty."""
        place = self.ask if buy else self.bid
        if not 0 <= place <= self.last_place:
            return None
        resting = self._quantity[place]
        wanted = self._lot * (1 + int(self._rng.random() ** 3 * 60))
        quantity = min(resting, wanted)
        self._change(place, resting - quantity, buy=not buy)
        if quantity == resting:
            if buy:
                self.ask += 1
            else:
                self.bid -= 1
        return place, quantity

    def open_at(self, place: int) -> None:
        """After an auction: the book lies around the auction's price."""
        place = min(max(place, 1), self.last_place - 1)
        while self.bid > place - 1:
            self._drop(buy=True)
        while self.ask < place + 1:
            self._drop(buy=False)
        while self.ask > place + 1:
            self._cross(buy=False)
        while self.bid < place - 1:
            self._cross(buy=True)

    def _cross(self, *, buy: bool) -> None:
        """A new best level of one side, one place further into the spread."""
        if buy:
            self.bid += 1
            self._change(self.bid, self._draw_quantity(), buy=True)
        else:
            self.ask -= 1
            self._change(self.ask, self._draw_quantity(), buy=False)

    def _drop(self, *, buy: bool) -> None:
        """The best level of one side goes away."""
        self._change(self.bid if buy else self.ask, 0, buy=buy)
        if buy:
            self.bid -= 1
        else:
            self.ask += 1

    def _buyers_narrow(self, chance: float) -> bool:
        """Which side fills the spread: an even chance that leans back towards the middle of the band."""
        lean = (self.bid + self.ask) / (2 * self.last_place)
        return chance > 0.3 + 0.4 * lean

    def _change(self, place: int, quantity: int, *, buy: bool) -> None:
        orders = -(-quantity // self._order_size)
        more, more_orders = quantity - self._quantity[place], orders - self._orders[place]
        self._quantity[place] = quantity
        self._orders[place] = orders
        self._fragments[place + self._depth + 1] = (
            self._level % (self._prices[place], quantity, orders) if quantity else EMPTY_LEVEL
        )
        if buy:
            self.buy_quantity += more
            self.buy_orders += more_orders
        else:
            self.sell_quantity += more
            self.sell_orders += more_orders

    def _draw_quantity(self) -> int:
        chance = self._rng.random()
        return self._lot * (1 + int(chance * chance * 400))
