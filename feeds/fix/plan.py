"""What a message becomes: a plan of emissions over its fields, the common ground of both parse paths.

A router (feeds/krx) turns the field list of one message into a Plan. The general path renders the plan with that
message's values; a layout compiles the same plan into a pattern and templates for later messages of the same shape.
So the two cannot drift apart in anything but the reading of single values, which `kinds` holds together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from feeds.fix.kinds import Kind, ValueRejected

# A part of an emission: literal JSON text, or the index of the field whose value stands there.
Part = str | int


class Field(NamedTuple):
    """One `tag=value` of a message, in wire order."""

    tag: int
    value: str


class MessageRejected(ValueError):
    """A message that is framed well and means nothing; `index` is the field that shows it."""

    def __init__(self, reason: str, index: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.index = index
        self.text = text


# What an emission does with its rendered text.
RECORD = "record"  # a record of its channel
FRAGMENT = "fragment"  # a part of the symbol's statistics, kept for later
MERGED = "merged"  # a fragment that leaves out what it does not know: what was known and still holds stays
STATS = "stats"  # a record of the channel `stats`: this text, then the kept fragments


@dataclass(frozen=True, slots=True)
class Emission:
    """One output of a message. `target` is the channel, or the fragment's name."""

    action: str
    target: str
    parts: tuple[Part, ...]
    image: bool = True  # a late copy of an image is stale and not passed on; a late event is


@dataclass(slots=True)
class Plan:
    """What to check and what to emit. Indexes point into the message's fields.

    `kinds` maps each field to the kind it is checked by (None: any value); `literal` are fields whose exact value
    belongs to the shape (group counts, entry types); `not_all` are (indexes, values): not every one of these fields
    may have one of these values, else the message has another shape.
    """

    msg_type: str
    kinds: list[Kind | None]
    emissions: tuple[Emission, ...]
    symbol: tuple[str, tuple[int, ...]]  # (rule, field indexes), see feeds/krx/symbols.py; all but the last are literal
    sequence: int
    market: int
    board: int | None
    ticker: int | None = None
    literal: set[int] = field(default_factory=set)
    not_all: list[tuple[tuple[int, ...], frozenset[str]]] = field(default_factory=list)

    def render(self, fields: Sequence[Field]) -> list[str]:
        """The emissions' texts for this message's own values. Raises MessageRejected."""
        texts = [self._text(index, fields) for index in range(len(fields))]
        return ["".join(p if isinstance(p, str) else texts[p] for p in e.parts) for e in self.emissions]

    def shape(self, fields: Sequence[Field]) -> int:
        """A hash of what a layout of this message would take literally: tags, shape values, absent values."""
        parts: list[object] = [self.msg_type, len(self.not_all)]
        for index, (tag, value) in enumerate(fields):
            kind = self.kinds[index]
            absent = kind is not None and (not value or value in kind.nulls)
            if absent or index in self.literal:
                parts.append((tag, value))
            else:
                parts.append((tag, value[: kind.shape_length]) if kind is not None and kind.shape_length else tag)
        return hash(tuple(parts))

    def _text(self, index: int, fields: Sequence[Field]) -> str:
        kind = self.kinds[index]
        if kind is None:
            return ""
        try:
            return kind.render(fields[index].value)
        except ValueRejected as error:
            raise MessageRejected(error.reason, index, f"tag {fields[index].tag}: {error}") from error
