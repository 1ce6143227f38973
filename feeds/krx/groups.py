"""Splits the repeating group of X and W at its delimiter and checks it against its count and its member order."""

from __future__ import annotations

from collections.abc import Sequence

from feeds.fix.kinds import shown
from feeds.fix.plan import Field, MessageRejected, Plan
from feeds.krx.indexed import Indexed
from feeds.krx.tables import Group

# Values that belong to a message's shape: position, action, entry type, level.
SHAPE_TAGS = frozenset({83, 279, 269, 290})
ENTRY_TYPES = frozenset("0124578")

Entry = dict[int, int]  # tag → field index


def group_entries(group: Group, found: Indexed, plan: Plan) -> list[Entry]:
    """The entries of the group. Never trusts the count alone, never allocates from it. Raises MessageRejected."""
    fields = found.fields
    count_index = found.required(group.count_tag)
    entries = _split(group, found, plan)
    count = fields[count_index].value
    if count != str(len(entries)):
        raise MessageRejected("GROUP_COUNT", count_index, f"tag 268 says {shown(count)}, found {len(entries)} entries")
    plan.literal.add(count_index)
    for number, entry in enumerate(entries, start=1):
        _check_shape(number, entry, fields)
    return entries


def _split(group: Group, found: Indexed, plan: Plan) -> list[Entry]:
    fields = found.fields
    order = {row.tag: place for place, row in enumerate(group.members)}
    kinds = {row.tag: row.kind for row in group.members}
    required = [row.tag for row in group.members if row.required]
    entries: list[Entry] = []
    last = 0
    for index in found.group:
        tag, value = fields[index]
        if tag == group.first_tag:
            entries.append({})
        elif order[tag] <= last or tag in entries[-1]:
            before = group.members[last].tag
            raise MessageRejected("GROUP_ORDER", index, f"tag {tag} stands after {before} in its entry")
        last = order[tag]
        if not value and tag in required:
            raise MessageRejected("EMPTY_VALUE", index, f"tag {tag} has no value")
        entries[-1][tag] = index
        found.kinds[index] = kinds[tag]
        if tag in SHAPE_TAGS:
            plan.literal.add(index)
    for entry in entries:
        for tag in required:
            if tag not in entry:
                index = next(iter(entry.values()))
                raise MessageRejected("GROUP_MEMBER", index, f"tag {tag} is missing in its entry")
    return entries


def _check_shape(number: int, entry: Entry, fields: Sequence[Field]) -> None:
    expected = {83: str(number), 279: "0"}
    for tag, value in expected.items():
        if fields[entry[tag]].value != value:
            found = shown(fields[entry[tag]].value)
            raise MessageRejected("GROUP_MEMBER", entry[tag], f"tag {tag}: found {found}, expected {value}")
    if fields[entry[269]].value not in ENTRY_TYPES:
        found = shown(fields[entry[269]].value)
        raise MessageRejected("GROUP_MEMBER", entry[269], f"tag 269: found {found}, expected 0, 1, 2, 4, 5, 7 or 8")
