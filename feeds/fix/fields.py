"""Splits one framed message into its fields (the general path)."""

from __future__ import annotations

import re

from feeds.fix.kinds import shown
from feeds.fix.plan import Field, MessageRejected

_TAG = re.compile(r"[1-9]\d{0,5}", re.ASCII)


def split_fields(message: str) -> list[Field]:
    """All fields in wire order. Raises MessageRejected (BAD_TAG, BAD_FIELD) for one that is no `tag=value`."""
    fields: list[Field] = []
    for index, part in enumerate(message[:-1].split("\x01")):
        tag, equals, value = part.partition("=")
        if not equals:
            raise MessageRejected("BAD_FIELD", index, f"found {shown(part)}, expected tag=value")
        if not _TAG.fullmatch(tag):
            raise MessageRejected("BAD_TAG", index, f"found {shown(tag)}, expected 1 to 999999")
        fields.append(Field(int(tag), value))
    return fields


def offset_of(data: bytes, index: int) -> int:
    """The byte offset of field `index` in its message."""
    at = 0
    for _ in range(index):
        at = data.find(b"\x01", at) + 1
        if at == 0:
            return len(data)
    return at
