"""The typed records of every channel: read-only views that keep each member, known or not, with its exact text."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast, overload

# float by default, Decimal (every digit as sent) with `exact=True`; whole numbers are int in both.
Number: TypeAlias = int | float | Decimal
T = TypeVar("T")


class Member(Generic[T]):
    """A record's member under a readable name; absent members read as None."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, record: None, owner: type) -> Member[T]: ...

    @overload
    def __get__(self, record: Record, owner: type) -> T: ...

    def __get__(self, record: Record | None, owner: type) -> T | Member[T]:
        return self if record is None else cast(T, record.data.get(self.name))


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a stream: `record["p"]` by wire name, `record.price` by name, `record.text` byte for byte.

    `raw` is what came: JSON text, or the record's own bytes of a msgpack frame.
    """

    data: Mapping[str, Any] = field(compare=False)
    raw: str | bytes

    channel = Member[str]("ch")
    symbol = Member[str]("s")
    n = Member[int]("n")
    epoch = Member[str]("ep")
    job = Member[str | None]("job")
    sequence = Member[int | None]("q")
    market = Member[str | None]("m")
    board = Member[str | None]("bd")
    message_type = Member[str | None]("mt")
    exchange_time = Member[str | None]("ts")
    received_ns = Member[int | None]("rx")

    @property
    def text(self) -> str:
        """The record as JSON: the very text that came, or the values of a msgpack record written as JSON."""
        if isinstance(self.raw, str):
            return self.raw
        return json.dumps(self.data, separators=(",", ":"), ensure_ascii=False, default=_base64)

    @property
    def merged(self) -> int | None:
        """How many updates a conflated image stands for; None when nothing is conflated."""
        name = "cn" if self.channel in ("stats", "bar") else "c"  # whose `c` is the last price
        return cast("int | None", self.data.get(name))

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def __contains__(self, name: object) -> bool:
        return name in self.data

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def get(self, name: str, default: Any = None) -> Any:
        return self.data.get(name, default)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text})"


class Level(NamedTuple):
    """One price level of a book."""

    price: Number
    quantity: Number


@dataclass(frozen=True, slots=True, repr=False)
class Trade(Record):
    """An execution; contiguous, never conflated."""

    trading_session = Member[str | None]("ses")
    time = Member[str | None]("tx")
    price = Member[Number | None]("p")
    quantity = Member[Number | None]("v")
    volume = Member[Number | None]("vol")
    value = Member[Number | None]("val")


@dataclass(frozen=True, slots=True, repr=False)
class Depth(Record):
    """The image of one board's book: levels best first, empty levels left out."""

    trading_session = Member[str | None]("ses")
    time = Member[str | None]("tx")
    total_bid = Member[Number | None]("tb")
    total_offer = Member[Number | None]("ta")
    bid_orders = Member[int | None]("cb")
    offer_orders = Member[int | None]("ca")

    @property
    def bids(self) -> tuple[Level, ...]:
        return tuple(Level(level[0], level[1]) for level in self.data.get("b") or ())

    @property
    def offers(self) -> tuple[Level, ...]:
        return tuple(Level(level[0], level[1]) for level in self.data.get("a") or ())


@dataclass(frozen=True, slots=True, repr=False)
class BookUpdate(Record):
    """A record of channel `book`: the whole book (`snap`) or the levels that changed (`delta`, quantity 0 is gone)."""

    kind = Member[str]("kind")
    checksum = Member[int | None]("crc")

    @property
    def bids(self) -> tuple[Level, ...]:
        return tuple(Level(level[0], level[1]) for level in self.data.get("b") or ())

    @property
    def offers(self) -> tuple[Level, ...]:
        return tuple(Level(level[0], level[1]) for level in self.data.get("a") or ())


@dataclass(frozen=True, slots=True, repr=False)
class Quote(Record):
    """The best bid and offer; a price of 0 is an auction's market orders."""

    bid = Member[Number | None]("bp")
    bid_quantity = Member[Number | None]("bq")
    offer = Member[Number | None]("ap")
    offer_quantity = Member[Number | None]("aq")


@dataclass(frozen=True, slots=True, repr=False)
class Bar(Record):
    """One minute of one board: an image while it is open, an event when it closed."""

    start = Member[str]("start")
    open = Member[Number]("o")
    high = Member[Number]("h")
    low = Member[Number]("l")
    close = Member[Number]("c")
    quantity = Member[Number]("v")
    trades = Member[int | None]("trades")
    value = Member[Number | None]("val")
    closed = Member[bool]("closed")


@dataclass(frozen=True, slots=True, repr=False)
class Stats(Record):
    """The day of a symbol so far; what is not known yet is None."""

    open = Member[Number | None]("o")
    high = Member[Number | None]("h")
    low = Member[Number | None]("l")
    last = Member[Number | None]("c")
    volume = Member[Number | None]("vol")
    value = Member[Number | None]("val")
    reference = Member[Number | None]("ref")
    ceiling = Member[Number | None]("ceil")
    floor = Member[Number | None]("floor")
    close = Member[Number | None]("close")
    close_type = Member[str | None]("close_type")


@dataclass(frozen=True, slots=True, repr=False)
class Expected(Record):
    """The expected match of an auction."""

    price = Member[Number | None]("p")
    quantity = Member[Number | None]("v")
    bond_yield = Member[Number | None]("y")


@dataclass(frozen=True, slots=True, repr=False)
class Foreign(Record):
    """Foreign room (`MF`) or foreign trading (`MT`)."""

    room = Member[Number | None]("room")
    limit = Member[Number | None]("limit")
    investor = Member[str | None]("investor")
    sell_volume = Member[Number | None]("sell_volume")
    sell_value = Member[Number | None]("sell_value")
    buy_volume = Member[Number | None]("buy_volume")
    buy_value = Member[Number | None]("buy_value")


@dataclass(frozen=True, slots=True, repr=False)
class Index(Record):
    """An index: its value, volume and the breadth of its market."""

    code = Member[str | None]("code")
    value = Member[Number | None]("value")
    volume = Member[Number | None]("vol")
    turnover = Member[Number | None]("val")
    up = Member[int | None]("up")
    down = Member[int | None]("down")
    steady = Member[int | None]("steady")
    ceiling = Member[int | None]("ceiling")
    floor = Member[int | None]("floor")


@dataclass(frozen=True, slots=True, repr=False)
class Status(Record):
    """An event of a symbol, a board (`board:STO.G1`), a feed (`feed:STO`) or a replay (`replay:12`)."""

    event = Member[str | None]("event")
    trading_session = Member[str | None]("ses")
    open_close = Member[str | None]("open_close")
    halt = Member[str | None]("halt")
    state = Member[str | None]("state")


@dataclass(frozen=True, slots=True, repr=False)
class Definition(Record):
    """What an instrument is: the message's fields by their names, all in `data`."""


@dataclass(frozen=True, slots=True, repr=False)
class Raw(Record):
    """The exchange's own message."""

    @property
    def message(self) -> bytes:
        """The FIX bytes: base64 in JSON, bytes in msgpack."""
        found = next((self.data[name] for name in ("raw", "data", "fix") if name in self.data), b"")
        return found if isinstance(found, bytes) else base64.b64decode(found)


@dataclass(frozen=True, slots=True, repr=False)
class Account(Record):
    """What concerns this subscriber alone: changed rights, an expiring key, quota, notices, results of replays."""

    event = Member[str | None]("event")


RECORD_OF_CHANNEL: dict[str, type[Record]] = {
    "trade": Trade,
    "depth": Depth,
    "book": BookUpdate,
    "quote": Quote,
    "bar": Bar,
    "stats": Stats,
    "expected": Expected,
    "foreign": Foreign,
    "index": Index,
    "status": Status,
    "definition": Definition,
    "raw": Raw,
    "account": Account,
}


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)
