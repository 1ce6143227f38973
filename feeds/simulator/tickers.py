"""The listings of each simulated market: well-known tickers first, then generated ones."""

import random
from typing import NamedTuple

from feeds.simulator.isin import isin_of
from feeds.simulator.rules import MarketRules


class Listing(NamedTuple):
    ticker: str
    isin: str
    name: str
    reference: int
    """Yesterday's close, in the market's price units."""
    shares: int


_WELL_KNOWN: dict[str, tuple[tuple[str, str, int], ...]] = {
    "STO": (
        ("FPT", "FPT Corporation", 118_500), ("VNM", "Vietnam Dairy Products", 66_300),
        ("VIC", "Vingroup", 41_950), ("HPG", "Hoa Phat Group", 26_450),
        ("VCB", "Vietcombank", 91_200), ("SSI", "SSI Securities", 25_800),
        ("MWG", "Mobile World Investment", 61_500), ("TCB", "Techcombank", 24_350),
        ("VHM", "Vinhomes", 40_200), ("MBB", "Military Bank", 22_750),
        ("ACB", "Asia Commercial Bank", 25_100), ("GAS", "PV Gas", 68_900),
        ("VPB", "VPBank", 19_200), ("MSN", "Masan Group", 70_100),
        ("VRE", "Vincom Retail", 17_650), ("STB", "Sacombank", 34_900),
        ("CTG", "VietinBank", 36_850), ("BID", "BIDV", 46_750),
        ("VND", "VNDirect Securities", 13_150), ("HDB", "HDBank", 23_900),
        ("DGC", "Duc Giang Chemicals", 112_400), ("PNJ", "Phu Nhuan Jewelry", 97_000),
        ("VJC", "Vietjet Aviation", 101_300), ("SAB", "Sabeco", 55_700),
        ("PLX", "Petrolimex", 39_450), ("GVR", "Vietnam Rubber Group", 31_600),
        ("KDH", "Khang Dien House", 34_350), ("REE", "REE Corporation", 66_800),
        ("HAG", "Hoang Anh Gia Lai", 9_870), ("ROS", "FLC Faros", 2_510),
    ),
    "STX": (
        ("SHS", "Saigon-Hanoi Securities", 13_600), ("PVS", "PetroVietnam Technical Services", 34_300),
        ("MBS", "MB Securities", 27_900), ("IDC", "IDICO Corporation", 55_200),
        ("CEO", "CEO Group", 14_100), ("NVB", "National Citizen Bank", 9_200),
        ("VCS", "Vicostone", 62_500), ("TNG", "TNG Investment", 24_300),
        ("PVI", "PVI Holdings", 58_700), ("HUT", "Tasco", 16_200),
    ),
    "UPX": (
        ("BSR", "Binh Son Refining", 21_300), ("ACV", "Airports Corporation of Vietnam", 118_700),
        ("VGI", "Viettel Global", 86_400), ("MCH", "Masan Consumer", 214_500),
        ("VEA", "VEAM Corporation", 39_100), ("QNS", "Quang Ngai Sugar", 48_800),
        ("OIL", "PV OIL", 12_400), ("FOX", "FPT Telecom", 91_500),
        ("LTG", "Loc Troi Group", 9_700), ("ABB", "An Binh Bank", 7_400),
    ),
    "DVX": (
        ("VN30F1M", "VN30 index futures, current month", 13_120), ("VN30F2M", "VN30 index futures, next month", 13_145),
        ("VN30F1Q", "VN30 index futures, current quarter", 13_180),
        ("VN30F2Q", "VN30 index futures, next quarter", 13_214),
    ),
}  # fmt: skip

_LETTERS = "ABCDEFGHIKLMNOPQRSTUVXY"
_SHARES_MIN = 20_000_000


def listings_of(rules: MarketRules, count: int, rng: random.Random) -> list[Listing]:
    """`count` listings of a market; DVX has the contracts of its four maturities and no more."""
    known = _WELL_KNOWN[rules.market]
    taken = {ticker for rows in _WELL_KNOWN.values() for ticker, _, _ in rows}
    listings = [_listing(ticker, name, reference, rng) for ticker, name, reference in known[:count]]
    if rules.market == "DVX":
        return listings
    while len(listings) < count:
        ticker = "".join(rng.choice(_LETTERS) for _ in range(3))
        # the markets must not share a generated ticker either: each owns one range of first letters
        ticker = _LETTERS[("STO", "STX", "UPX").index(rules.market) :: 3][rng.randrange(7)] + ticker[1:]
        if ticker in taken:
            continue
        taken.add(ticker)
        reference = int(10 ** rng.uniform(3.6, 5.0))
        reference -= reference % rules.tick_at(reference)
        listings.append(_listing(ticker, f"{ticker} Joint Stock Company", reference, rng))
    return listings


def _listing(ticker: str, name: str, reference: int, rng: random.Random) -> Listing:
    shares = _SHARES_MIN + rng.randrange(20_000) * 100_000
    return Listing(ticker, isin_of(ticker), name, reference, shares)
