"""The message tables: per routed type its channel and its fields (tag, JSON name, kind, required).

Both parse paths come from these rows. A tag that is not listed is let through unread. A field without a name is
checked and not passed on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from feeds.fix.kinds import DATE, INT, LIMIT, MARKET, PRICE, SENT, SEQUENCE, TEXT, TRANSACT, YIELD, Kind

# A recovery snapshot says 0.0 for what there is not: nothing traded yet, not closed yet.
PRICE_OR_NONE = replace(PRICE, name="price or none", nulls=frozenset({"0", "0.0", "0.00", "0.000", "0.0000"}))


class Row(NamedTuple):
    """One field of a message type."""

    tag: int
    name: str
    kind: Kind
    required: bool = False
    shape: bool = False  # few values, rarely changing: a layout takes it literally


class Group(NamedTuple):
    """A repeating group: its count tag, the tag each entry begins with, and the members in wire order."""

    count_tag: int
    first_tag: int
    members: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One message type. `symbol` says what its stream is named by: isin, index, board (isin where present)."""

    msg_type: str
    channel: str
    symbol: str
    rows: tuple[Row, ...]
    group: Group | None = None
    event: bool = False


HEADER = (
    Row(49, "", TEXT, True, True),
    Row(56, "", TEXT, True, True),
    Row(34, "", SEQUENCE, True),
    Row(52, "", SENT, True),
)
MARKET_ID = Row(30001, "", MARKET, True, True)
BOARD_ID = Row(20004, "", TEXT, True, True)
ISIN = Row(55, "", TEXT, True)
SESSION = Row(336, "ses", TEXT)
TRANSACT_TIME = Row(60, "tx", TRANSACT)

ENTRY = Group(
    268,
    83,
    (
        Row(83, "", INT, True),
        Row(279, "", INT, True),
        Row(269, "", TEXT, True),
        Row(290, "", INT, True),
        Row(270, "", PRICE, True),
        Row(271, "", INT, True),
        Row(346, "", INT),
        Row(30270, "", YIELD),
        Row(30271, "", INT),
    ),
)
TOTALS = (Row(387, "vol", INT), Row(381, "val", PRICE))
ORDER_TOTALS = (Row(30521, "ta", INT), Row(30522, "tb", INT), Row(30523, "ca", INT), Row(30524, "cb", INT))

PRICE_ROWS = (MARKET_ID, BOARD_ID, Row(336, "ses", TEXT, True, True), ISIN, Row(75, "", DATE, True, True))
X = Table("X", "", "isin", (*PRICE_ROWS, Row(60, "tx", TRANSACT, True), *TOTALS, *ORDER_TOTALS), ENTRY)
W = Table(
    "W",
    "",
    "isin",
    (
        MARKET_ID,
        BOARD_ID,
        Row(336, "ses", TEXT, False, True),
        ISIN,
        Row(75, "", DATE, False, True),
        TRANSACT_TIME,
        *TOTALS,
        *ORDER_TOTALS,
        Row(30561, "open", PRICE_OR_NONE),
        Row(30562, "high", PRICE_OR_NONE),
        Row(30563, "low", PRICE_OR_NONE),
        Row(20026, "close", PRICE_OR_NONE),
        Row(30565, "open_yield", YIELD),
        Row(30566, "high_yield", YIELD),
        Row(30567, "low_yield", YIELD),
        Row(30568, "close_yield", YIELD),
    ),
    ENTRY,
)
F = Table(
    "f",
    "status",
    "board",
    (
        MARKET_ID,
        BOARD_ID,
        Row(20005, "event", TEXT, True),
        Row(20008, "open_close", TEXT),
        Row(55, "", TEXT),
        SESSION,
        Row(30648, "product_group", TEXT),
        Row(30651, "halt_reason", TEXT),
        Row(20009, "product", TEXT),
    ),
    event=True,
)
M7 = Table(
    "M7",
    "stats",
    "isin",
    (
        MARKET_ID,
        BOARD_ID,
        ISIN,
        Row(20013, "reference", PRICE),
        Row(1149, "ceiling", LIMIT),
        Row(1148, "floor", LIMIT),
        Row(20014, "", PRICE),
        Row(20015, "", PRICE),
        Row(20016, "", PRICE),
        Row(20020, "", INT),
        Row(20018, "", TEXT),
    ),
)
M8 = Table(
    "M8",
    "stats",
    "isin",
    (
        MARKET_ID,
        BOARD_ID,
        ISIN,
        Row(20026, "close", PRICE, True),
        Row(30541, "close_yield", YIELD),
        Row(20027, "close_type", TEXT),
    ),
)
ME = Table(
    "ME",
    "expected",
    "isin",
    (MARKET_ID, BOARD_ID, ISIN, Row(30552, "p", PRICE, True), Row(30553, "v", INT, True), Row(30554, "y", YIELD)),
)
MF = Table("MF", "foreign", "isin", (MARKET_ID, ISIN, Row(30557, "room", INT, True), Row(30558, "limit", INT)))
MX = Table(
    "MX",
    "definition",
    "isin",
    (
        MARKET_ID,
        BOARD_ID,
        ISIN,
        TRANSACT_TIME,
        Row(1149, "ceiling", LIMIT, True),
        Row(1148, "floor", LIMIT, True),
        Row(30649, "upper_step", INT),
        Row(30650, "lower_step", INT),
    ),
)
MT = Table(
    "MT",
    "foreign",
    "isin",
    (
        MARKET_ID,
        Row(20004, "", TEXT, False, True),
        SESSION,
        ISIN,
        TRANSACT_TIME,
        Row(20054, "investor", TEXT, False, True),
        Row(331, "sell_volume", INT),
        Row(30168, "sell_value", PRICE),
        Row(330, "buy_volume", INT),
        Row(30169, "buy_value", PRICE),
        Row(30643, "sell_volume_total", INT),
        Row(30644, "sell_value_total", PRICE),
        Row(30645, "buy_volume_total", INT),
        Row(30646, "buy_value_total", PRICE),
    ),
)
MA = Table("MA", "definition", "isin", (MARKET_ID, ISIN, Row(75, "date", DATE), Row(30540, "open_interest", INT, True)))
ML = Table(
    "ML",
    "definition",
    "index",
    (
        MARKET_ID,
        Row(30569, "class", TEXT),
        Row(30167, "code", TEXT, True),
        Row(15, "currency", TEXT),
        Row(30632, "name", TEXT),
        Row(30633, "english_name", TEXT),
        Row(30606, "constituents", INT),
        Row(30607, "constituent_no", INT),
        Row(55, "constituent", TEXT),
    ),
)
M1 = Table(
    "M1",
    "index",
    "index",
    (
        MARKET_ID,
        SESSION,
        Row(30569, "class", TEXT),
        Row(30167, "code", TEXT, True),
        Row(15, "", TEXT),
        TRANSACT_TIME,
        Row(30217, "value", PRICE, True),
        *TOTALS,
        Row(30638, "continuous_vol", INT),
        Row(30639, "continuous_val", PRICE),
        Row(30640, "block_vol", INT),
        Row(30641, "block_val", PRICE),
        Row(30589, "ceiling", INT),
        Row(30590, "up", INT),
        Row(30591, "steady", INT),
        Row(30592, "down", INT),
        Row(30593, "floor", INT),
        Row(30594, "up_vol", INT),
        Row(30595, "down_vol", INT),
        Row(30596, "steady_vol", INT),
    ),
)
