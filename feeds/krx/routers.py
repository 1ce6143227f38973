"""The 13 routers: from a message's fields to the plan of what it becomes, driven by the tables."""

from __future__ import annotations

from collections.abc import Sequence

from feeds.fix.kinds import TEXT
from feeds.fix.plan import FRAGMENT, RECORD, STATS, Emission, Field, MessageRejected, Part, Plan
from feeds.krx import tables
from feeds.krx.definition_table import D
from feeds.krx.groups import group_entries
from feeds.krx.indexed import Indexed, index_fields
from feeds.krx.price_image import price_emissions
from feeds.krx.tables import Table

TABLES: dict[str, Table] = {
    t.msg_type: t
    for t in (
        tables.X,
        tables.F,
        tables.M7,
        tables.M8,
        tables.ME,
        tables.MF,
        tables.MX,
        D,
        tables.M1,
        tables.MT,
        tables.MA,
        tables.W,
        tables.ML,
    )
}
# Message types of the interface that are not routed: they stay in RAW and are counted.
UNROUTED = frozenset(["MD", "MH", "MI", "MW", "M2", "M3", "M4", "MM", "MN", "MO", "MP", "MQ", "MR", "MS", "MU", "MJ"])
HEADER_TAGS = (8, 9, 35, 49, 56, 34, 52, 30001)
LIMITS = (("ref", 20013), ("ceil", 1149), ("floor", 1148))
CLOSE = (("close", 20026), ("close_type", 20027))


def make_plan(msg_type: str, fields: Sequence[Field]) -> Plan:
    """The plan of one message of a routed type. Raises MessageRejected."""
    table = TABLES[msg_type]
    found = index_fields(table, fields)
    _check_header(fields)
    board = found.at(20004)
    if board is not None and found.kinds[board] is None:  # not in this type's table; every record says its board
        found.kinds[board] = TEXT
        found.shape.add(board)
    plan = Plan(
        msg_type=msg_type,
        kinds=found.kinds,
        emissions=(),
        symbol=_symbol(table, found),
        sequence=found.required(34),
        market=found.required(30001),
        board=board,
        ticker=found.at(30624),
        literal=set(found.shape),
    )
    if table.group is not None:
        entries = group_entries(table.group, found, plan)
        plan.emissions = price_emissions(plan, found, entries, head=common(msg_type, found))
    else:
        plan.emissions = tuple(_table_emissions(table, found))
    return plan


def _check_header(fields: Sequence[Field]) -> None:
    """The order that framing.HEAD relies on: a message in another order was neither sequenced nor partitioned."""
    for index, (tag, field) in enumerate(zip(HEADER_TAGS, fields, strict=False)):
        if field.tag != tag:
            raise MessageRejected("FIELD_ORDER", index, f"found tag {field.tag}, expected {tag}")


def common(msg_type: str, found: Indexed) -> tuple[Part, ...]:
    """The members every record carries, after `rx`."""
    board = found.at(20004)
    bd: tuple[Part, ...] = ("null",) if board is None else (board,)
    return (
        ',"q":',
        found.required(34),
        ',"m":"',
        found.required(30001),
        '","bd":',
        *bd,
        f',"mt":"{msg_type}","ts":',
        found.required(52),
    )


def _symbol(table: Table, found: Indexed) -> tuple[str, tuple[int, ...]]:
    market = found.required(30001)
    isin = found.at(55)
    if table.symbol == "index":
        return "index", (market, found.required(30167))
    if table.symbol == "board" and (isin is None or found.empty(isin)):
        return "board", (market, found.required(20004))
    return "isin", (found.required(55),)


def _table_emissions(table: Table, found: Indexed) -> list[Emission]:
    head = common(table.msg_type, found)
    emissions: list[Emission] = []
    if table.channel != "stats":
        parts: list[Part] = list(head)
        for row in table.rows:
            index = found.at(row.tag)
            if row.name and index is not None:
                parts += [f',"{row.name}":', index]
        parts.append("}")
        emissions.append(Emission(RECORD, table.channel, tuple(parts), image=not table.event))
    for msg_types, name, members in (({"d", "M7"}, "limits", LIMITS), ({"M8"}, "close", CLOSE)):
        if table.msg_type in msg_types:
            emissions.append(Emission(FRAGMENT, name, tuple(_members(members, found))))
            emissions.append(Emission(STATS, "stats", head))
    return emissions


def _members(members: Sequence[tuple[str, int]], found: Indexed) -> list[Part]:
    parts: list[Part] = []
    for name, tag in members:
        index = found.at(tag)
        parts += [f',"{name}":', "null" if index is None else index]
    return parts


__all__ = ["TABLES", "UNROUTED", "MessageRejected", "make_plan"]
