"""What X and W become: a book image, a trade with its statistics, or (W) whatever of both it holds."""

from __future__ import annotations

from collections.abc import Sequence

from feeds.fix.kinds import ValueRejected
from feeds.fix.plan import FRAGMENT, MERGED, RECORD, STATS, Emission, MessageRejected, Part, Plan
from feeds.krx.groups import Entry
from feeds.krx.indexed import Indexed
from feeds.krx.tables import PRICE_OR_NONE

BID, OFFER, LAST, OPEN, CLOSE, HIGH, LOW = "0", "1", "2", "4", "5", "7", "8"
# Per level members beyond price and quantity: (tag, name suffix, values that say "none").
EXTRAS = (
    (346, "n", frozenset({"0", ""})),
    (30271, "s", frozenset({"0", ""})),
    (30270, "y", frozenset({"0.0", "", "-09999.999900", "-9999.999900", "-9999.9999", "-09999.9999"})),
)


def price_emissions(
    plan: Plan, found: Indexed, entries: Sequence[Entry], *, head: tuple[Part, ...]
) -> tuple[Emission, ...]:
    """The emissions of an X or W. Raises MessageRejected when it is neither shape."""
    sides: dict[str, list[Entry]] = {}
    for entry in entries:
        sides.setdefault(found.fields[entry[269]].value, []).append(entry)
    emissions: list[Emission] = []
    if BID in sides or OFFER in sides or found.at(30521) is not None:
        emissions.append(_book(plan, found, sides, head=head))
    if plan.msg_type == "W":
        emissions += _recovery(found, sides, head=head)
    elif LAST in sides:
        emissions += _trade(plan, found, sides, head=head)
    elif found.at(387) is not None and plan.msg_type == "X":
        raise MessageRejected("SHAPE", found.required(387), "387 without an entry 269=2")
    if not emissions:
        raise MessageRejected("SHAPE", found.required(268), "neither a book (30521, 269=0/1) nor a trade (387, 269=2)")
    return tuple(emissions)


def _book(plan: Plan, found: Indexed, sides: dict[str, list[Entry]], *, head: tuple[Part, ...]) -> Emission:
    levels = {side: _levels(found, sides.get(side, [])) for side in (BID, OFFER)}
    parts: list[Part] = [*head, *_members(found, (("ses", 336), ("tx", 60)))]
    parts += _ladder(',"b":[', levels[BID])
    parts += _ladder(',"a":[', levels[OFFER])
    parts += _members(found, (("tb", 30522), ("ta", 30521), ("cb", 30524), ("ca", 30523)))
    for tag, suffix, none in EXTRAS:
        indexes = tuple(e[tag] for side in (BID, OFFER) for e in levels[side] if tag in e)
        if all(found.fields[i].value in none for i in indexes):
            plan.literal.update(indexes)
            continue
        plan.not_all.append((indexes, none))
        for side, letter in ((BID, "b"), (OFFER, "a")):
            parts += _column(f',"{letter}{suffix}":[', [e.get(tag) for e in levels[side]])
    parts.append("}")
    return Emission(RECORD, "depth", tuple(parts))


def _levels(found: Indexed, entries: Sequence[Entry]) -> list[Entry]:
    """One side's entries; they must be the levels 1..N in order."""
    for number, entry in enumerate(entries, start=1):
        level = found.fields[entry[290]].value
        if level != str(number):
            raise MessageRejected("BOOK_LEVEL", entry[290], f"found level {level!r}, expected {number}")
    return list(entries)


def _ladder(opening: str, entries: Sequence[Entry]) -> list[Part]:
    parts: list[Part] = [opening]
    for place, entry in enumerate(entries):
        parts += [",[" if place else "[", entry[270], ",", entry[271], "]"]
    return [*parts, "]"]


def _column(opening: str, indexes: Sequence[int | None]) -> list[Part]:
    parts: list[Part] = [opening]
    for place, index in enumerate(indexes):
        parts += ["," if place else "", "null" if index is None else index]
    return [*parts, "]"]


def _trade(plan: Plan, found: Indexed, sides: dict[str, list[Entry]], *, head: tuple[Part, ...]) -> list[Emission]:
    for side, entries in sides.items():
        if side not in (BID, OFFER) and len(entries) > 1:
            raise MessageRejected("GROUP_MEMBER", entries[1][269], f"269={side} stands twice")
    last = sides[LAST][0]
    for tag, _suffix, none in EXTRAS[:2]:
        indexes = [e[tag] for entries in sides.values() for e in entries if tag in e]
        if all(found.fields[i].value in none for i in indexes):
            plan.literal.update(indexes)
    totals = _members(found, (("vol", 387), ("val", 381)))
    yields: list[Part] = [',"y":', last[30270]] if 30270 in last else []
    trade = [*head, *_members(found, (("ses", 336), ("tx", 60)))]
    trade += [',"p":', last[270], ',"v":', last[271], *yields, *totals, "}"]
    emissions = [Emission(RECORD, "trade", tuple(trade), image=False)]
    figures: list[Part] = []
    for name, side in (("o", OPEN), ("h", HIGH), ("l", LOW)):
        figures += [f',"{name}":', sides[side][0][270] if side in sides else "null"]
    figures += [',"c":', last[270]]
    for name, tag in (("vol", 387), ("val", 381)):
        index = found.at(tag)
        figures += [f',"{name}":', "null" if index is None else index]
    emissions.append(Emission(FRAGMENT, "trade", tuple(figures)))
    emissions.append(Emission(STATS, "stats", head))
    return emissions


def _recovery(found: Indexed, sides: dict[str, list[Entry]], *, head: tuple[Part, ...]) -> list[Emission]:
    """A snapshot's statistics from its own fields; the last price only where an entry 269=2 says it."""
    if not any(found.at(tag) is not None for tag in (387, 30561, 30562, 30563)) and LAST not in sides:
        return []
    figures: list[Part] = []
    for name, tag, side in (("o", 30561, OPEN), ("h", 30562, HIGH), ("l", 30563, LOW), ("c", None, LAST)):
        own = found.at(tag) if tag is not None else None
        entry = sides[side][0][270] if side in sides else None
        figures += [f',"{name}":', own if own is not None else "null" if entry is None else entry]
    for name, tag in (("vol", 387), ("val", 381)):
        index = found.at(tag)
        figures += [f',"{name}":', "null" if index is None else index]
    figures += _members(found, (("oy", 30565), ("hy", 30566), ("ly", 30567), ("cy", 30568)))
    emissions = [Emission(MERGED, "trade", tuple(figures))]
    close = found.at(20026)
    if close is not None and not _says_nothing(found.fields[close].value):
        emissions.append(Emission(MERGED, "close", (',"close":', close)))
    return [*emissions, Emission(STATS, "stats", head)]


def _says_nothing(value: str) -> bool:
    try:
        return PRICE_OR_NONE.render(value) == "null"
    except ValueRejected:
        return False  # rendering the plan rejects the message


def _members(found: Indexed, members: Sequence[tuple[str, int]]) -> list[Part]:
    parts: list[Part] = []
    for name, tag in members:
        index = found.at(tag)
        if index is not None:
            parts += [f',"{name}":', index]
    return parts
