"""Strategies for valid messages of every routed type: a shape (tags in an order) and several sets of values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from feeds.fix.kinds import DATE, INT, LIMIT, PRICE, TRANSACT, YIELD, Kind
from feeds.krx.routers import TABLES
from feeds.krx.tables import PRICE_OR_NONE, Row
from tests.feeds.wire import Pair, message

FIRST = (30001,)  # where the header's reading ends; the other tags may come in any order
GROUP_TABLES = ("X", "W")
UNKNOWN_TAGS = (58, 5149, 96000)


@dataclass(frozen=True)
class Shape:
    """One message type with its tags in order, and the values of several messages of it."""

    msg_type: str
    values: list[list[Pair]]

    def message(self, sequence: int, values: list[Pair]) -> bytes:
        return message(self.msg_type, sequence, *values)


def spelled(numbers: st.SearchStrategy[str], plain: bool) -> st.SearchStrategy[str]:
    """The plain spelling, or sometimes an odd one."""
    if plain:
        return numbers
    odd = st.sampled_from(["+{}", "00{}", "{}"])
    return st.one_of(numbers, numbers, numbers, st.builds(lambda f, n: n if n[0] == "-" else f.format(n), odd, numbers))


WHOLE = st.integers(0, 10**12).map(str)
AMOUNT = st.decimals(0, 10**9, places=2, allow_nan=False).map(str)
TEXTS = st.text('aZ09 =%"\\\x00\n\x7fộ𝄞\u2028{[,:', min_size=1, max_size=6)
PLAIN = st.sampled_from(["G1", "40", "STOST", "Công ty", "a=b", "%s", "[0.0,0]x"])
SENTINELS = {
    LIMIT: ["999999999.0", "-999999999.0", "0.0"],
    PRICE_OR_NONE: ["0.0", "0.0", "0"],
    YIELD: ["-09999.999900", "-9999.9999", "0.0"],
}
DATES = st.dates().map(lambda day: f"{day.year:04d}{day:%m%d}")
CLOCK = st.times().map(lambda time: f"{time:%H%M%S}{time.microsecond // 1000:03d}")


def value_of(kind: Kind, plain: bool) -> st.SearchStrategy[str]:
    """A value of `kind`; a layout takes every plain one."""
    if kind is INT:
        return spelled(WHOLE, plain)
    if kind in (PRICE, PRICE_OR_NONE, LIMIT, YIELD):
        numbers = spelled(AMOUNT, plain)
        return st.one_of(numbers, st.sampled_from(SENTINELS[kind])) if kind in SENTINELS else numbers
    if kind is DATE:
        return DATES
    if kind is TRANSACT:
        return CLOCK
    return PLAIN if plain else st.one_of(PLAIN, TEXTS)


@st.composite
def shapes(draw: Any) -> Shape:
    """A routed type, a choice of its optional tags, and two to four messages of that choice."""
    msg_type = draw(st.sampled_from(["X", "X", "X", "X", *sorted(TABLES)]))
    plain = draw(st.integers(0, 3)) > 0
    table = TABLES[msg_type]
    rows = [row for row in table.rows if row.required or draw(st.integers(0, 3))]
    rows = [row for row in rows if row.tag not in FIRST]
    if draw(st.integers(0, 3)) == 0:
        rows = draw(st.permutations(rows))
    unknown = draw(st.lists(st.sampled_from(UNKNOWN_TAGS), unique=True, max_size=2))
    fixed = {row.tag: draw(value_of(row.kind, plain)) for row in rows if row.shape}
    market = draw(st.sampled_from(["STO", "STX", "DVX"]))
    group = draw(groups()) if msg_type in GROUP_TABLES else None
    if msg_type == "X" and group is not None and not group.trade:  # 387 without a trade is no shape of X
        rows = [row for row in rows if row.tag not in (387, 381)]
    messages = draw(st.integers(2, 4))
    empties = {row.tag for row in rows if not row.required and not row.shape and draw(st.integers(0, 5)) == 0}
    values: list[list[Pair]] = []
    for _ in range(messages):
        body: list[Pair] = [(30001, market)]
        body += [(row.tag, fixed.get(row.tag) or draw(_row_value(row, empties, plain))) for row in rows]
        body += [(tag, draw(TEXTS)) for tag in unknown]
        values.append([*body, *(draw(_group_values(group, plain)) if group is not None else [])])
    return Shape(msg_type, values)


def _row_value(row: Row, empties: set[int], plain: bool) -> st.SearchStrategy[str]:
    if row.tag in empties:
        return st.just("")
    return value_of(row.kind, plain)


@dataclass(frozen=True)
class GroupShape:
    depth: int
    trade: tuple[str, ...]
    extra: tuple[int, ...]


@st.composite
def groups(draw: Any) -> GroupShape:
    """A book of 1 to 4 levels, or a trade; W may hold both, here it holds one of them as X does."""
    extra = tuple(draw(st.lists(st.sampled_from([346, 30270, 30271]), unique=True)))
    extra = tuple(tag for tag in (346, 30270, 30271) if tag in extra)
    if draw(st.booleans()):
        return GroupShape(draw(st.integers(1, 4)), (), extra)
    others = draw(st.lists(st.sampled_from(["4", "7", "8"]), unique=True))
    return GroupShape(0, ("2", *others), extra)


@st.composite
def _group_values(draw: Any, group: GroupShape, plain: bool) -> list[Pair]:
    kinds = [(kind, 0) for kind in group.trade]
    kinds += [(side, level) for level in range(1, group.depth + 1) for side in ("1", "0")]
    body: list[Pair] = [(268, len(kinds))]
    bare = draw(st.booleans())  # extras all zero, as the feed sends them where it has none
    for number, (kind, level) in enumerate(kinds, start=1):
        price, quantity = draw(
            st.one_of(st.just(("0.0", "0")), st.tuples(spelled(AMOUNT, plain), spelled(WHOLE, plain)))
        )
        body += [(83, number), (279, 0), (269, kind), (290, level), (270, price), (271, quantity)]
        for tag in group.extra:
            none = "0.0" if tag == 30270 else "0"
            body.append((tag, none if bare else draw(value_of(YIELD if tag == 30270 else INT, plain))))
    return body
