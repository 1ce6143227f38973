"""The messages of a market outside its order books: definitions, room, indices, foreign trading, closing prices."""

from collections.abc import Iterator
from datetime import date, timedelta

from feeds.simulator import layouts
from feeds.simulator.market import SimulatedMarket
from feeds.simulator.message import Message
from feeds.simulator.security import Security

_NO_CEILING = "999999999.0"
_NO_FLOOR = "-999999999.0"
_CLOSE_BY_TRADE = "1"
_INFORMED_EVERY = 10
_CLOSE_WITHOUT_TRADE = "3"


def preparation(market: SimulatedMarket) -> Iterator[Message]:
    """What is sent before the open: every `d`, then `ML`, `MF`, for contracts `MA`, and for some symbols `M7`."""
    total = len(market.securities) * len(market.rules.boards)
    for number, security in enumerate(market.securities, start=1):
        for board in market.rules.boards:
            yield definition(market, security, board, number=number, total=total)
    yield from constituents(market)
    for security in market.securities:
        if market.name == "DVX":
            yield open_interest(market, security)
        yield foreign_room(market, security)
    for security in market.securities[::_INFORMED_EVERY]:
        yield information(market, security)


def definition(market: SimulatedMarket, security: Security, board: str, *, number: int, total: int) -> Message:
    rules, listing = market.rules, security.listing
    future = rules.security_group == "FU"
    # put-through has no limits of its own: the sentinels of the real messages
    ceiling, floor = (_NO_CEILING, _NO_FLOOR) if board == "T1" else (security.ceiling_text, security.floor_text)
    lot = 1 if board == "G4" else rules.lot
    expiry = _third_thursday_text(market.stamp.trade_date) if future else ""
    return market.message(
        layouts.DEFINITION, security.isin,
        rules.market, board, total, rules.exchange, security.isin, listing.ticker, number, listing.name, listing.name,
        rules.product_id, rules.product_group, rules.security_group, expiry, f"ID{number:08d}",
        "100000.0" if future else "1.0", listing.shares, ceiling, floor, f"{lot}.0",
        security.reference_text, security.reference_text, _CLOSE_BY_TRADE, expiry, "20170101",
        "2" if board == "G4" else "1",
    )  # fmt: skip


def constituents(market: SimulatedMarket) -> Iterator[Message]:
    rules = market.rules
    for rank, (code, name, _) in enumerate(rules.indices):
        members = market.securities if rank == 0 else market.securities[:30]
        for number, security in enumerate(members, start=1):
            yield market.message(
                layouts.CONSTITUENT, security.isin,
                rules.market, rules.index_class, code, name, name, len(members), number, security.isin,
            )  # fmt: skip


def open_interest(market: SimulatedMarket, security: Security) -> Message:
    quantity = 20_000 + security.listing.shares // 100_000 + security.tape("G1").volume // 7
    return market.message(
        layouts.OPEN_INTEREST, security.isin, market.name, security.isin, market.stamp.trade_date, quantity
    )


def foreign_room(market: SimulatedMarket, security: Security) -> Message:
    """The room shrinks by what foreigners bought net."""
    taken = int(security.tape("G1").volume * security.foreign_share * 0.1)
    possible = max(security.foreign_room - taken, 0)
    return market.message(
        layouts.FOREIGN_ROOM, security.isin, market.name, security.isin, possible, security.foreign_room
    )


def foreign_trading(market: SimulatedMarket, security: Security) -> Message:
    tape = security.tape("G1")
    bought, bought_value = int(tape.volume * security.foreign_share), int(tape.value * security.foreign_share)
    sold, sold_value = bought * 9 // 10, bought_value * 9 // 10
    amounts = (sold, f"{sold_value}.0", bought, f"{bought_value}.0")
    return market.message(
        layouts.FOREIGN_TRADING, security.isin,
        market.name, "G1", market.trading_session, security.isin, market.stamp.transact_time, *amounts, *amounts,
    )  # fmt: skip


def information(market: SimulatedMarket, security: Security) -> Message:
    """M7: reference and limits announced again, for instance after a change of the listed shares."""
    return market.message(
        layouts.INFORMATION, security.isin,
        market.name, "G1", security.isin, security.reference_text, security.ceiling_text, security.floor_text,
        security.listing.shares,
    )  # fmt: skip


def limit_expansion(market: SimulatedMarket, security: Security) -> Message:
    return market.message(
        layouts.LIMIT_EXPANSION, security.isin,
        market.name, "G1", security.isin, market.stamp.transact_time, security.ceiling_text, security.floor_text, 1, 1,
    )  # fmt: skip


def closing(market: SimulatedMarket, security: Security, board: str) -> Message:
    last = security.tape("G1").last
    price = security.reference_text if last is None else security.price_texts[last]
    kind = _CLOSE_WITHOUT_TRADE if last is None else _CLOSE_BY_TRADE
    return market.message(layouts.CLOSING, security.isin, market.name, board, security.isin, price, kind)


def indices(market: SimulatedMarket) -> Iterator[Message]:
    """M1 of every index of the market: its value follows its members' mean change."""
    for rank, (code, _, base) in enumerate(market.rules.indices):
        yield _index(market, code, base, market.securities if rank == 0 else market.securities[:30])


def _index(market: SimulatedMarket, code: str, base: float, members: list[Security]) -> Message:
    counts = {"ceiling": 0, "up": 0, "steady": 0, "down": 0, "floor": 0}
    volumes = {"up": 0, "steady": 0, "down": 0}
    volume = value = 0
    change_sum = 0.0
    for security in members:
        tape = security.tape("G1")
        change = security.change_percent()
        direction = "up" if change > 1e-9 else "down" if change < -1e-9 else "steady"
        change_sum += change
        counts[direction] += 1
        volumes[direction] += tape.volume
        counts["ceiling"] += tape.last == len(security.grid) - 1
        counts["floor"] += tape.last == 0
        volume += tape.volume
        value += tape.value
    level = base * (1 + change_sum / len(members) / 100)
    return market.message(
        layouts.INDEX, "",
        market.name, market.trading_session, market.rules.index_class, code, market.stamp.transact_time, f"{level:.2f}",
        volume, f"{value}.0", volume, f"{value}.0", 0, "0.0",
        counts["ceiling"], counts["up"], counts["steady"], counts["down"], counts["floor"],
        volumes["up"], volumes["down"], volumes["steady"],
    )  # fmt: skip


def interruption(market: SimulatedMarket, security: Security) -> Message:
    """MD, a type without a router: a volatility interruption at the last price."""
    price = security.price_texts[security.last_place()]
    return market.message(
        layouts.INTERRUPTION, security.isin,
        market.name, "G1", security.isin, security.reference_text, security.reference_text, price,
        f"{security.change_percent():.1f}",
    )  # fmt: skip


def top_members(market: SimulatedMarket, security: Security) -> Message:
    """M4, a type without a router."""
    tape = security.tape("G1")
    part, part_value = tape.volume // 5, f"{tape.value // 5}.0"
    return market.message(
        layouts.TOP_MEMBERS, security.isin, market.name, security.isin, "003", part, part_value, "057", part, part_value
    )


def _third_thursday_text(trade_date: str) -> str:
    """The expiry of the month's index contract, or of the next month's once it has passed."""
    today = date.fromisoformat(trade_date)
    for first in (today.replace(day=1), (today.replace(day=28) + timedelta(days=4)).replace(day=1)):
        expiry = first + timedelta(days=(3 - first.weekday()) % 7 + 14)
        if expiry >= today:
            break
    return f"{expiry:%Y%m%d}"
