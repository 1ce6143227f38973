"""The order book keeps its invariants through any activity."""

import random

import pytest

from feeds.simulator.book import OrderBook
from feeds.simulator.layouts import EMPTY_LEVEL, book_layout
from tests.simulator.trading_days import fields_of

DEPTH = 5


def book_of(places: int, seed: int, *, start: int | None = None) -> OrderBook:
    prices = [f"{1000 + place}.0" for place in range(places)]
    level = book_layout(DEPTH).fragment
    start = places // 2 if start is None else start
    return OrderBook(prices, 100, DEPTH, start=start, rng=random.Random(seed), level=level)


def levels_of(image: list[str]) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """(offers, bids), each [(price, quantity)], empty levels left out."""
    sides: tuple[list[tuple[str, int]], list[tuple[str, int]]] = ([], [])
    for place, fragment in enumerate(image):
        if fragment != EMPTY_LEVEL:
            values = dict(fields_of(fragment.encode()))
            sides[place % 2].append((values[270], int(values[271])))
    return sides


def check(book: OrderBook) -> None:
    offers, bids = levels_of(book.image())
    offer_places = list(range(book.ask, min(book.ask + DEPTH, book.last_place + 1)))
    bid_places = list(range(book.bid, max(book.bid - DEPTH, -1), -1))
    assert offers == [(f"{1000 + place}.0", book.quantity_at(place)) for place in offer_places]
    assert bids == [(f"{1000 + place}.0", book.quantity_at(place)) for place in bid_places]
    assert book.bid < book.ask
    assert all(quantity > 0 and quantity % 100 == 0 for _, quantity in offers + bids)
    assert book.sell_quantity == sum(book.quantity_at(place) for place in range(book.ask, book.last_place + 1))
    assert book.buy_quantity == sum(book.quantity_at(place) for place in range(book.bid + 1))


@pytest.mark.parametrize("places", [4, 30, 200])
def test_levels_are_contiguous_and_totals_hold(places: int) -> None:
    for seed in range(5):
        book, rng = book_of(places, seed), random.Random(seed)
        check(book)
        for _ in range(300):
            if rng.random() < 0.3:
                book.trade(buy=rng.random() < 0.5)
            else:
                book.rest()
            check(book)


def test_a_trade_takes_what_rests_and_moves_the_best_level() -> None:
    book = book_of(30, 1)
    before, place = book.quantity_at(book.ask), book.ask
    taken = 0
    while book.ask == place:
        traded = book.trade(buy=True)
        assert traded is not None
        assert traded[0] == place
        taken += traded[1]
    assert taken == before
    assert book.ask == place + 1


def test_buyers_can_empty_the_offers_up_to_the_ceiling() -> None:
    book = book_of(6, 1)
    while book.trade(buy=True) is not None:
        pass
    assert book.ask == book.last_place + 1
    assert book.sell_quantity == 0
    assert levels_of(book.image())[0] == []
    check(book)


@pytest.mark.parametrize("place", [0, 3, 15, 29])
def test_after_an_auction_the_book_lies_around_its_price(place: int) -> None:
    book = book_of(30, 2)
    book.open_at(place)
    check(book)
    assert (book.bid, book.ask) == (max(place, 1) - 1, 2) if place < 2 else (min(place, 28) - 1, min(place, 28) + 1)
