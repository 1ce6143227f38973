"""The trading rules of the four simulated markets: ticks, bands, lots, depth, boards and codes.

Source: krx_mdds.md. Prices are integers in the market's price unit (1 VND, or a tenth of an index point on DVX), so
that a price is exact and its place on the tick grid is plain arithmetic.
"""

from dataclasses import dataclass


class UnknownMarket(ValueError):
    """The simulator has no trading rules for this market."""


@dataclass(frozen=True)
class MarketRules:
    market: str
    exchange: str
    """Tag 207."""
    product_id: str
    product_group: str
    security_group: str
    band_percent: float
    lot: int
    depth: int
    boards: tuple[str, ...]
    ticks: tuple[tuple[int, int], ...]
    """(prices below, tick) in price units, ascending; the last applies to everything above."""
    price_decimals: int
    value_per_unit: int
    """VND of turnover for one price unit and one lot of quantity 1."""
    index_class: str
    indices: tuple[tuple[str, str, float], ...]
    """(tag 30167, name, base value)."""
    activity: float
    """Share of the message rate when all markets trade."""

    def tick_at(self, price: int) -> int:
        return next(tick for below, tick in self.ticks if price < below)

    def price_text(self, price: int) -> str:
        if self.price_decimals == 0:
            return f"{price}.0"
        whole, rest = divmod(price, 10**self.price_decimals)
        return f"{whole}.{rest:0{self.price_decimals}d}"

    def grid(self, reference: int) -> list[int]:
        """Every valid price from floor to ceiling: the band around the reference, rounded inwards to the tick."""
        floor = _round_up(reference * (1 - self.band_percent / 100), self)
        ceiling = reference * (1 + self.band_percent / 100)
        prices = [floor]
        while (following := prices[-1] + self.tick_at(prices[-1])) <= ceiling + 1e-9:
            prices.append(following)
        return prices


def _round_up(price: float, rules: MarketRules) -> int:
    tick = rules.tick_at(int(price))
    return -(-int(price * 1000 + 0.5) // (tick * 1000)) * tick


_ALL_PRICES = 10**12

RULES = {
    rules.market: rules
    for rules in (
        MarketRules(
            market="STO", exchange="HO", product_id="S1STOST", product_group="STO", security_group="ST",
            band_percent=7, lot=100, depth=3, boards=("G1", "G4", "T1"),
            ticks=((10_000, 10), (50_000, 50), (_ALL_PRICES, 100)), price_decimals=0, value_per_unit=1,
            index_class="1",
            indices=(("001", "VNINDEX", 1250.0), ("101", "VN30", 1310.0), ("102", "VNMIDCAP", 1880.0),
                     ("103", "VNSMALLCAP", 1450.0), ("105", "VNALLSHARE", 1290.0)),
            activity=0.45,
        ),
        MarketRules(
            market="STX", exchange="HX", product_id="S1STXST", product_group="STX", security_group="ST",
            band_percent=10, lot=100, depth=10, boards=("G1", "G3", "G4", "T1"),
            ticks=((_ALL_PRICES, 100),), price_decimals=0, value_per_unit=1,
            index_class="2", indices=(("002", "HNXIndex", 230.0), ("100", "HNX30", 500.0)),
            activity=0.2,
        ),
        MarketRules(
            market="UPX", exchange="HX", product_id="S1UPXST", product_group="UPX", security_group="ST",
            band_percent=15, lot=100, depth=10, boards=("G1", "G4", "T1"),
            ticks=((_ALL_PRICES, 100),), price_decimals=0, value_per_unit=1,
            index_class="4", indices=(("301", "HNXUpcomIndex", 92.0),),
            activity=0.2,
        ),
        MarketRules(
            market="DVX", exchange="HX", product_id="VN30F", product_group="FIO", security_group="FU",
            band_percent=7, lot=1, depth=10, boards=("G1",),
            ticks=((_ALL_PRICES, 1),), price_decimals=1, value_per_unit=10_000,
            index_class="3", indices=(),
            activity=0.15,
        ),
    )
}  # fmt: skip


def rules_of(market: str, *, depth: int | None = None) -> MarketRules:
    """The rules of a market; `depth` overrides the number of book levels (HOSE sent 5 in the 2019 test)."""
    rules = RULES.get(market)
    if rules is None:
        raise UnknownMarket(f"one of the simulated markets {', '.join(sorted(RULES))} expected, found {market!r}")
    if depth is None:
        return rules
    return MarketRules(**{**rules.__dict__, "depth": depth})
