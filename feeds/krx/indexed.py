"""Finds a table's fields in a message: where each tag is, what is missing, what stands twice."""

from __future__ import annotations

from collections.abc import Sequence

from feeds.fix.kinds import Kind
from feeds.fix.plan import Field, MessageRejected
from feeds.krx.tables import HEADER, Table

FRAME_TAGS = (8, 9, 35, 10)


class Indexed:
    """Positions of the fields outside the repeating group, and the kind each field is checked by."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = fields
        self.kinds: list[Kind | None] = [None] * len(fields)
        self.group: range = range(0)
        self.shape: set[int] = set()
        self._at: dict[int, int] = {}

    def at(self, tag: int) -> int | None:
        """The index of `tag`, or None."""
        return self._at.get(tag)

    def required(self, tag: int) -> int:
        """The index of `tag`. Raises MessageRejected (MISSING_TAG)."""
        index = self._at.get(tag)
        if index is None:
            raise MessageRejected("MISSING_TAG", len(self.fields) - 1, f"tag {tag} is missing")
        return index

    def empty(self, index: int) -> bool:
        return not self.fields[index].value

    def add(self, index: int) -> None:
        """Note a field outside the group. Raises MessageRejected (DUPLICATE_TAG)."""
        tag = self.fields[index].tag
        if tag in self._at:
            raise MessageRejected("DUPLICATE_TAG", index, f"tag {tag} stands twice")
        self._at[tag] = index


def index_fields(table: Table, fields: Sequence[Field]) -> Indexed:
    """Index a message of `table`'s type. Raises MessageRejected."""
    found = Indexed(fields)
    found.group = _group_range(table, fields)
    members = {row.tag for row in table.group.members} if table.group is not None else set()
    for index, field in enumerate(fields):
        if index in found.group:
            continue
        if field.tag in members:
            raise MessageRejected("GROUP_ORDER", index, f"tag {field.tag} stands outside its group")
        found.add(index)
    for row in (*HEADER, *table.rows):
        index_or_none = found.at(row.tag)
        if index_or_none is None:
            if row.required:
                found.required(row.tag)
            continue
        if row.required and found.empty(index_or_none):
            raise MessageRejected("EMPTY_VALUE", index_or_none, f"tag {row.tag} has no value")
        found.kinds[index_or_none] = row.kind
        if row.shape:
            found.shape.add(index_or_none)
    return found


def _group_range(table: Table, fields: Sequence[Field]) -> range:
    """The run of group members that begins at the first delimiter."""
    if table.group is None:
        return range(0)
    members = {row.tag for row in table.group.members}
    first = next((i for i, f in enumerate(fields) if f.tag == table.group.first_tag), None)
    if first is None:
        return range(0)
    end = first
    while end < len(fields) and fields[end].tag in members:
        end += 1
    return range(first, end)
