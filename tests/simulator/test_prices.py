"""Tick grids, bands and the numbers that identify securities."""

import random
from itertools import pairwise

import pytest

from feeds.simulator.isin import isin_of
from feeds.simulator.rules import RULES, UnknownMarket, rules_of
from feeds.simulator.tickers import listings_of


@pytest.mark.parametrize(("code", "isin"), [("AGR", "VN000000AGR5"), ("KMR", "VN000000KMR2"), ("KPF", "VN000000KPF0")])
def test_isins_are_those_of_the_real_messages(code: str, isin: str) -> None:
    assert isin_of(code) == isin


def test_a_code_that_does_not_fit_an_isin_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 9 characters expected, found 'TOOLONGCODE'"):
        isin_of("TOOLONGCODE")


@pytest.mark.parametrize(
    ("reference", "floor", "ceiling"),
    [(9_870, 9_180, 10_550), (118_500, 110_300, 126_700), (26_450, 24_600, 28_300), (2_510, 2_340, 2_680)],
)
def test_hose_bands_are_seven_percent_rounded_inwards(reference: int, floor: int, ceiling: int) -> None:
    grid = rules_of("STO").grid(reference)
    assert (grid[0], grid[-1]) == (floor, ceiling)


def test_hose_ticks_change_with_the_price() -> None:
    grid = rules_of("STO").grid(9_870)
    steps = {(price < 10_000, following - price) for price, following in pairwise(grid)}
    assert steps == {(True, 10), (False, 50)}


@pytest.mark.parametrize("market", sorted(RULES))
def test_every_grid_is_on_tick_inside_the_band_and_holds_the_reference(market: str) -> None:
    rules = rules_of(market)
    for listing in listings_of(rules, 200, random.Random(3)):
        grid = rules.grid(listing.reference)
        assert all(price % rules.tick_at(price) == 0 for price in grid), listing
        assert grid == sorted(set(grid))
        assert grid[0] >= listing.reference * (1 - rules.band_percent / 100) - 1e-6
        assert grid[-1] <= listing.reference * (1 + rules.band_percent / 100) + 1e-6
        assert listing.reference in grid


def test_futures_prices_have_one_decimal() -> None:
    assert rules_of("DVX").price_text(13_120) == "1312.0"
    assert rules_of("DVX").price_text(13_207) == "1320.7"


def test_tickers_and_isins_are_unique_across_the_markets() -> None:
    listings = [one for market in RULES for one in listings_of(rules_of(market), 300, random.Random(market))]
    assert len({one.ticker for one in listings}) == len(listings) == 904
    assert len({one.isin for one in listings}) == len(listings)
    assert listings[0].ticker == "FPT"


def test_an_unknown_market_names_the_known_ones() -> None:
    with pytest.raises(UnknownMarket, match="DVX, STO, STX, UPX expected, found 'NYSE'"):
        rules_of("NYSE")
