"""One market of the fake exchange: makes the messages of its securities and counts their sequence numbers."""

import random
from collections.abc import Sequence

from feeds.simulator import layouts
from feeds.simulator.encoder import Layout
from feeds.simulator.message import Message
from feeds.simulator.rules import MarketRules
from feeds.simulator.security import Security
from feeds.simulator.sequences import Sequences
from feeds.simulator.stamp import Stamp
from feeds.simulator.tickers import Listing

_POPULAR_SLOTS = 4096
"""The table of picks: a security's share of the slots is its share of the traffic."""


class SimulatedMarket:
    """Every method that returns a Message takes the next number of its stream: the order of the calls is the wire's."""

    def __init__(self, feed: str, rules: MarketRules, listings: list[Listing], *, rng: random.Random) -> None:
        self.feed = feed
        self.rules = rules
        self.name = rules.market
        self.rng = rng
        self.trading_session = "99"
        self.stamp = Stamp(0, "", "", "")
        self.sequences = Sequences(rules.market)
        self._book_layout = layouts.book_layout(rules.depth)
        self._recovery_layout = layouts.recovery_layout(rules.depth)
        level = self._book_layout.fragment
        self.securities = [Security(listing, rules, rng, level=level) for listing in listings]
        self._picks = self._pick_table()

    def pick(self) -> Security:
        """A security by its share of the traffic: the first listings are the busiest."""
        return self._picks[int(self.rng.random() * len(self._picks))]

    def message(self, layout: Layout, isin: str, *values: object, fragments: Sequence[str] = ()) -> Message:
        msg_type = layout.msg_type
        stream, sequence = self.sequences.next(msg_type)
        data = layout.encode(sequence, self.stamp.sending_time, values, fragments=fragments)
        # past the named constructor: it is a third of a microsecond slower
        return tuple.__new__(Message, (self.feed, self.name, stream, sequence, msg_type, isin, data))

    def book(self, security: Security, board: str) -> Message:
        book, stamp, isin = security.book(board), self.stamp, security.isin
        return self.message(
            self._book_layout, isin,
            self.name, board, self.trading_session, isin, stamp.trade_date, stamp.transact_time,
            book.sell_quantity, book.buy_quantity, book.sell_orders, book.buy_orders,
            fragments=book.image(),
        )  # fmt: skip

    def trade(self, security: Security, board: str, traded: tuple[int, int]) -> Message:
        """`traded` is the (place, quantity) of the execution, which goes on the board's tape."""
        place, quantity = traded
        tape, stamp, isin, texts = (
            security.record_trade(board, place, quantity), self.stamp, security.isin, security.price_texts,
        )  # fmt: skip
        return self.message(
            layouts.TRADE, isin,
            self.name, board, self.trading_session, isin, stamp.trade_date, stamp.transact_time,
            tape.volume, f"{tape.value}.0",
            texts[place], quantity, texts[tape.open], texts[tape.high], texts[tape.low],
        )  # fmt: skip

    def recovery(self, security: Security) -> Message:
        """W: the periodic snapshot of the main board."""
        book, tape, isin, texts = security.book("G1"), security.tape("G1"), security.isin, security.price_texts
        traded = tape.last is not None
        opened, high, low = (texts[tape.open], texts[tape.high], texts[tape.low]) if traded else ("0.0", "0.0", "0.0")
        closed = texts[tape.last] if tape.last is not None and self.trading_session == "99" else "0.0"
        return self.message(
            self._recovery_layout, isin,
            self.name, "G1", self.trading_session, isin, tape.volume, f"{tape.value}.0",
            book.sell_quantity, book.buy_quantity, book.sell_orders, book.buy_orders,
            opened, high, low, closed, fragments=book.image(),
        )  # fmt: skip

    def board_status(self, board: str, event: str, open_close: str) -> Message:
        return self.message(layouts.BOARD_STATUS, "", self.name, board, event, open_close, self.trading_session)

    def symbol_status(self, security: Security, event: str, trading_session: str) -> Message:
        return self.message(
            layouts.SYMBOL_STATUS, security.isin, self.name, "G1", event, security.isin, trading_session
        )

    def expected(self, security: Security) -> Message:
        security.walk_expected()
        price = security.price_texts[security.expected_place]
        return self.message(
            layouts.EXPECTED, security.isin, self.name, "G1", security.isin, price, security.expected_quantity
        )

    def new_day(self, listings: list[Listing]) -> None:
        """Counters start at 1, books and tapes are empty, yesterday's listings may have a new reference."""
        self.sequences.reset()
        level = self._book_layout.fragment
        self.securities = [Security(listing, self.rules, self.rng, level=level) for listing in listings]
        self._picks = self._pick_table()

    def _pick_table(self) -> list[Security]:
        """Shares fall with the square root of the rank: the first of 400 has about 2.5 % of the traffic."""
        weights = [1 / (rank + 1) ** 0.5 for rank in range(len(self.securities))]
        scale = _POPULAR_SLOTS / sum(weights)
        picks: list[Security] = []
        for security, weight in zip(self.securities, weights, strict=True):
            picks += [security] * max(1, round(weight * scale))
        return picks
