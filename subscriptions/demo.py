"""Builds the demo's rows: exchange, feeds, lines, instruments, products, and a subscriber who may see everything."""

import datetime
from collections.abc import Sequence

from feeds.calendar_rows import ship_trading_day
from feeds.config import LINE_NAMES, MARKETS
from feeds.models import Exchange, Feed, Instrument, Line
from feeds.simulator.exchange import Exchange as SimulatedExchange
from feeds.simulator.rules import RULES
from subscriptions import api_keys
from subscriptions.entitlements import CHANNELS, LEVEL_MAX, SCOPES
from subscriptions.models import ApiKey, Contract, Entitlement, Product, Subscriber

FEEDS = {
    "STO": ("STO", "BDO", "RPO"),
    "STX": ("STX", "BDX", "HCX"),
    "UPX": ("UPX",),
    "DVX": ("DVX",),
}
SUBSCRIBER = "demo"
KEY_NAME = "demo key"
_IMAGES = ("trade", "quote", "book", "depth", "stats", "expected", "foreign", "definition", "bar")
PRODUCTS: dict[str, dict[str, object]] = {
    "krx-realtime": {
        "name": "KRX real-time, full depth",
        "channels": [channel for channel in CHANNELS if channel != "account"],
        "level": LEVEL_MAX,
    },
    "krx-delayed": {
        "name": "KRX delayed 15 minutes, best bid and offer",
        "channels": list(_IMAGES),
        "level": 1,
        "timeliness": "delayed",
        "delay_s": 900,
    },
    "krx-public": {"name": "KRX indices and status", "channels": ["index", "status"], "level": 1, "public": True},
}

LineAddress = tuple[str, int, str]  # group, port, interface


def feeds(addresses: Sequence[LineAddress], *, replace_lines: bool) -> None:
    """The four feeds; `addresses` are A and B of each in turn. Existing lines stay unless told to replace them."""
    exchange, _ = Exchange.objects.get_or_create(code="KRX", defaults={"name": "KRX MDDS (HOSE and HNX)"})
    ship_trading_day(exchange)
    rows = [
        Feed.objects.get_or_create(name=name, defaults={"exchange": exchange, "markets": list(markets)})[0]
        for name, markets in FEEDS.items()
    ]
    if replace_lines:
        Line.objects.filter(feed__in=rows).delete()
    numbered = [(feed, name) for feed in rows for name in LINE_NAMES]
    for (feed, name), (group, port, interface) in zip(numbered, addresses, strict=True):
        Line.objects.get_or_create(
            feed=feed, name=name, defaults={"group": group, "port": port, "interface": interface}
        )


def instruments() -> int:
    """The simulated exchange's listings, as its definitions will say them; returns how many were not known.

    So the first client need not wait for the first definitions. What an exchange has said already stays.
    """
    simulated = {name: tuple(market for market in markets if market in RULES) for name, markets in FEEDS.items()}
    listed = [
        Instrument(isin=one.isin, ticker=one.listing.ticker, market=market.name, name=one.listing.name)
        for market in SimulatedExchange(simulated).markets
        for one in market.securities
    ]
    isins = set(Instrument.objects.values_list("isin", flat=True))
    tickers = set(Instrument.objects.values_list("market", "ticker"))
    new = [one for one in listed if one.isin not in isins and (one.market, one.ticker) not in tickers]
    return len(Instrument.objects.bulk_create(new))


def subscriber() -> Subscriber:
    """The demo's subscriber, with a contract that lets it see everything in real time."""
    for code, values in PRODUCTS.items():
        Product.objects.get_or_create(code=code, defaults={"markets": list(MARKETS)} | values)
    row, _ = Subscriber.objects.get_or_create(code=SUBSCRIBER, defaults={"name": "Demo subscriber"})
    contract, _ = Contract.objects.get_or_create(
        number="DEMO-1",
        defaults={
            "subscriber": row,
            "starts_on": datetime.date(2020, 1, 1),
            "sessions_max": 10_000,
            "symbols_max": 100_000,
            "ops_per_s_max": 100,
        },
    )
    Entitlement.objects.get_or_create(contract=contract, product=Product.objects.get(code="krx-realtime"))
    return row


def key(owner: Subscriber, kept: str | None, *, site_secret: str, now: datetime.datetime) -> str:
    """The demo's key: the kept one while it is valid, else a new one."""
    try:
        secret = api_keys.parse(kept or "")
    except api_keys.BadKey:
        secret = api_keys.generate()
    row = ApiKey.objects.filter(public_id=secret.public_id).first()
    if row and (row.revoked_at or (row.expires_at and row.expires_at <= now)):
        secret, row = api_keys.generate(), None
    digest = api_keys.digest(secret, site_secret=site_secret)
    if row is None:
        ApiKey.objects.create(
            subscriber=owner, name=KEY_NAME, public_id=secret.public_id, digest=digest, scopes=list(SCOPES)
        )
    elif row.digest != digest:  # the site's secret key is a new one
        row.digest = digest
        row.save(update_fields=["digest"])
    return secret.text
