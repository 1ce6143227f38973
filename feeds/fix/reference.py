"""The simplefix reading of a message: what the tests hold both parse paths equal to.

Slow and plain on purpose. It shares the message tables with the product (which tag has which name) and nothing else:
simplefix finds the fields, `Decimal` reads the numbers, and the records are built as dicts. Numbers are compared as
`Decimal`, so a record is read back with `json.loads(record, parse_int=Decimal, parse_float=Decimal)`. It expects a
valid message: what is malformed is the general path's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial

import simplefix

from feeds.fix.kinds import DATE, INT, LIMIT, MARKET, PRICE, SENT, TEXT, TRANSACT, YIELD, Kind
from feeds.krx.indexes import index_name
from feeds.krx.routers import TABLES
from feeds.krx.tables import PRICE_OR_NONE

Record = dict[str, object]
Entry = dict[int, str]

# Sentinels as `str(Decimal(value))` writes them, so that their odd spellings count too.
NO_LIMITS = frozenset({"999999999.0", "-999999999.0", "0.0", "0"})
NO_PRICE = frozenset({"0", "0.0", "0.00", "0.000", "0.0000"})
NO_YIELD = frozenset({"-9999.999900", "-9999.9999"})
GROUP_START, GROUP_TAGS = 83, frozenset({83, 279, 269, 290, 270, 271, 346, 30270, 30271})
# Members of a level beyond price and quantity, and the texts that say "none".
EXTRAS = (
    (346, "n", frozenset({"0", ""})),
    (30271, "s", frozenset({"0", ""})),
    (30270, "y", frozenset({"0.0", "", "-09999.999900", "-9999.999900", "-9999.9999", "-09999.9999"})),
)
YIELDS = {"oy": 30565, "hy": 30566, "ly": 30567, "cy": 30568}
NOTHING_TRADED: Record = dict.fromkeys(("o", "h", "l", "c", "vol", "val"))
NO_FIGURES: Record = {**NOTHING_TRADED, "ref": None, "ceil": None, "floor": None}


class _Message:
    """simplefix's fields: those of the body by tag, and the group's entries."""

    def __init__(self, data: bytes) -> None:
        parser = simplefix.FixParser(allow_empty_values=True)
        parser.append_buffer(data)
        fix = parser.get_message()
        if fix is None:
            raise ValueError("simplefix finds no message")
        self.body: dict[int, str] = {}
        self.entries: list[Entry] = []
        for tag, raw in fix.pairs:
            number, value = int(tag), raw.decode()
            if number == GROUP_START:
                self.entries.append({})
            if number in GROUP_TAGS:
                self.entries[-1][number] = value
            else:
                self.body[number] = value

    def side(self, kind: str) -> list[Entry]:
        return [entry for entry in self.entries if entry[269] == kind]


def reference_records(data: bytes, tickers: Mapping[str, str], figures: dict[tuple[str, str], Record]) -> list[Record]:
    """The records of one valid message, in order, as dicts without `n`, `ep` and `rx`.

    `figures` keeps the statistics of (ISIN, board) between messages and is updated.
    """
    message = _Message(data)
    body = message.body
    msg_type, board = body[35], body.get(20004) or None
    table = TABLES[msg_type]
    symbol = _symbol(table.symbol, body, tickers)
    lead = {"q": Decimal(body[34]), "m": body[30001], "bd": board, "mt": msg_type, "ts": _sent(body[52])}
    make = partial(_record, symbol=symbol, lead=lead)
    known = figures.setdefault((body.get(55, ""), board or ""), dict(NO_FIGURES))
    if msg_type in ("X", "W"):
        return _price_records(message, make, known)
    named = {row.name: read(row.kind, body[row.tag]) for row in table.rows if row.name and row.tag in body}
    records = [make(table.channel, named)] if table.channel != "stats" else []
    if msg_type in ("d", "M7"):
        limits = (("ref", 20013, PRICE), ("ceil", 1149, LIMIT), ("floor", 1148, LIMIT))
        known |= {name: read(kind, body.get(tag, "")) for name, tag, kind in limits}
    elif msg_type == "M8":
        known |= {"close": _number(body.get(20026, "")), "close_type": body.get(20027) or None}
    return [*records, make("stats", known)] if msg_type in ("d", "M7", "M8") else records


def read(kind: Kind, value: str) -> object:
    """One value as its JSON value: Decimal, text, or None when it is empty or a sentinel."""
    if not value:
        return None
    if kind in (INT, PRICE, PRICE_OR_NONE, LIMIT, YIELD):
        number = Decimal(value)
        none = {LIMIT: NO_LIMITS, YIELD: NO_YIELD, PRICE_OR_NONE: NO_PRICE}.get(kind, frozenset())
        return None if str(number) in none else number
    if kind is DATE:
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    if kind is SENT:
        return _sent(value)
    assert kind in (TEXT, TRANSACT, MARKET)
    return value


def _record(channel: str, own: Record, *, symbol: str, lead: Record) -> Record:
    return {"ch": channel, "s": symbol, **lead, **own}


def _price_records(message: _Message, make: Callable[[str, Record], Record], known: Record) -> list[Record]:
    body = message.body
    places: Record = {name: body[tag] or None for name, tag in (("ses", 336), ("tx", 60)) if tag in body}
    totals: Record = {name: _number(body[tag]) for name, tag in (("vol", 387), ("val", 381)) if tag in body}
    records: list[Record] = []
    if message.side("0") or message.side("1") or 30521 in body:
        records.append(make("depth", {**places, **_book(message)}))
    if body[35] == "W":
        return [*records, make("stats", known)] if _recover(message, known) else records
    if not message.side("2"):
        return records
    last = message.side("2")[0]
    price, quantity = _number(last[270]), _number(last[271])
    bond: Record = {"y": read(YIELD, last[30270])} if 30270 in last else {}
    records.append(make("trade", {**places, "p": price, "v": quantity, **bond, **totals}))
    for name in YIELDS:
        known.pop(name, None)
    for name, kind in (("o", "4"), ("h", "7"), ("l", "8")):
        side = message.side(kind)
        known[name] = _number(side[0][270]) if side else None
    known |= {"c": price, "vol": None, "val": None, **totals}
    return [*records, make("stats", known)]


def _recover(message: _Message, known: Record) -> bool:
    """What a W says of the statistics goes into `known`; False when it says nothing of them."""
    body, last = message.body, message.side("2")
    if not last and not any(tag in body for tag in (387, 30561, 30562, 30563)):
        return False
    volume, price = _number(body.get(387, "")), _number(last[0][270]) if last else None
    if price is None and volume is not None and volume == known["vol"]:
        price = known["c"]  # type: ignore[assignment]
    for name in YIELDS:
        known.pop(name, None)
    for name, tag, kind in (("o", 30561, "4"), ("h", 30562, "7"), ("l", 30563, "8")):
        side = message.side(kind)
        known[name] = read(PRICE_OR_NONE, body[tag]) if tag in body else _number(side[0][270]) if side else None
    known |= {"c": price, "vol": volume, "val": _number(body.get(381, ""))}
    known |= {name: read(YIELD, body[tag]) for name, tag in YIELDS.items() if tag in body}
    close = read(PRICE_OR_NONE, body.get(20026, ""))
    if close is not None:
        if str(known.get("close")) != str(close):
            known.pop("close_type", None)
        known["close"] = close
    return True


def _book(message: _Message) -> Record:
    book: Record = {}
    sides = {"b": message.side("0"), "a": message.side("1")}
    for letter, side in sides.items():
        levels = [[_number(level[270]), _number(level[271])] for level in side]
        book[letter] = [level for level in levels if level != [0, 0]]
    for name, tag in (("tb", 30522), ("ta", 30521), ("cb", 30524), ("ca", 30523)):
        if tag in message.body:
            book[name] = _number(message.body[tag])
    for tag, suffix, none in EXTRAS:
        if any(level[tag] not in none for side in sides.values() for level in side if tag in level):
            for letter, side in sides.items():
                book[letter + suffix] = [_extra(tag, level) for level in side]
    return book


def _extra(tag: int, level: Entry) -> object:
    return read(YIELD if tag == 30270 else INT, level.get(tag, ""))


def _symbol(rule: str, body: Mapping[int, str], tickers: Mapping[str, str]) -> str:
    if rule == "index":
        return index_name(body[30001], body[30167])
    if rule == "board" and not body.get(55):
        return f"board:{body[30001]}.{body[20004]}"
    return tickers.get(body[55], body[55])


def _number(value: str) -> Decimal | None:
    return Decimal(value) if value else None


def _sent(value: str) -> str:
    """`20261120 02:15:00.123` as ISO."""
    return f"{value[:4]}-{value[4:6]}-{value[6:8]}T{value[9:]}Z"
