"""Compiles a plan into a layout: one pattern over the whole message, one renderer of its emissions.

Theory: the tag order of a message type repeats. The first message of a shape goes the general path; its plan becomes
one `re` pattern with possessive quantifiers (numbers checked as numbers, so they never become Python objects) and
renderers. Later messages are `render(match.groups())`. What does not match goes the general path, which decides
whether it is a new shape or a dead letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from feeds.fix.kinds import Kind
from feeds.fix.plan import RECORD, Emission, Field, Plan
from feeds.fix.renderers import Piece, Record, Texts, record_renderer, texts_renderer

_HEAD_TAGS = (8, 9, 35)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """One message shape.

    `fullmatch` covers the message from its MsgType value to its CheckSum field, which the caller has checked. `market`,
    `board` and the symbol's prefix are part of the shape; the symbol is the prefix and, where its index is not -1,
    that group. `texts` gives every emission's text, `record` the whole record where the message is one.
    """

    msg_type: str
    fullmatch: Callable[[str, int, int], re.Match[str] | None]
    emissions: tuple[Emission, ...]
    texts: Texts
    symbol_rule: str
    ticker_index: int
    market: str
    board: str
    # For the hot path, unpacked at once: MsgType, sequence index, symbol prefix, symbol index, and, when the message
    # becomes one record and nothing else, that record's renderer.
    hot: tuple[str, int, str, int, Record | None]
    strips: bool  # a text holds book levels: empty ones are to be left out


class _Compiler:
    """Builds pattern text and remembers which group holds which field."""

    def __init__(self, plan: Plan, fields: Sequence[Field]) -> None:
        self.plan = plan
        self.fields = fields
        self.used = {p for e in plan.emissions for p in e.parts if isinstance(p, int)}
        self.used |= {plan.sequence, *plan.symbol[1]}
        self.used |= {plan.ticker} if plan.ticker is not None else set()
        self.groups: dict[int, range] = {}  # field index → indexes in match.groups() (a date has three)
        self.group_count = 0

    def piece(self, index: int) -> str | None:
        """The pattern of one field with its SOH, or None when this message's value is not plain."""
        tag, value = self.fields[index]
        kind = self.plan.kinds[index]
        if index in self.plan.literal or (kind is not None and (not value or value in kind.nulls)):
            return re.escape(f"{tag}={value}") + r"\x01"
        if kind is None:
            return f"{tag}=" + r"[^\x01]*+\x01"
        if not re.fullmatch(kind.pattern, value, re.ASCII):
            return None
        unless = "".join(f"(?!{re.escape(null)}\\x01)" for null in sorted(kind.nulls))
        return f"{tag}={unless}{self._captured(index, kind, value)}" + r"\x01"

    def _captured(self, index: int, kind: Kind, value: str) -> str:
        pattern, _template = kind.in_layout(value)
        if index not in self.used:
            return re.sub(r"\((?!\?)", "(?:", pattern)
        first, self.group_count = self.group_count, self.group_count + re.compile(pattern).groups
        self.groups[index] = range(first, self.group_count)
        return pattern

    def first(self, index: int | None) -> int:
        """The (first) group of a field, -1 when it is taken literally or not there."""
        return self.groups[index].start if index in self.groups else -1

    def value(self, index: int) -> list[Piece]:
        """The pieces of one field's value: its groups where it is captured, else its text."""
        kind = self.plan.kinds[index]
        value = self.fields[index].value
        if kind is None:
            return []
        if index not in self.groups:
            return [kind.render(value)]
        literals = kind.in_layout(value)[1].split("%s")
        pieces: list[Piece] = [literals[0]]
        for group, literal in zip(self.groups[index], literals[1:], strict=True):
            pieces += [group, literal]
        return pieces

    def texts(self) -> list[list[Piece]]:
        """Each emission's text in pieces."""
        every: list[list[Piece]] = []
        for emission in self.plan.emissions:
            pieces: list[Piece] = []
            for part in emission.parts:
                pieces += [part] if isinstance(part, str) else self.value(part)
            every.append(pieces)
        return every


def compile_layout(plan: Plan, fields: Sequence[Field]) -> Layout | None:
    """The layout of this message's shape, or None when one of its values is not in the plain spelling."""
    if tuple(f.tag for f in fields[:3]) != _HEAD_TAGS or fields[-1].tag != 10:
        return None
    compiler = _Compiler(plan, fields)
    pieces = [re.escape(plan.msg_type) + r"\x01"]
    for index in range(3, len(fields) - 1):
        piece = compiler.piece(index)
        if piece is None:
            return None
        pieces.append(piece)
    for indexes, values in plan.not_all:
        first = min(indexes)
        start = len(f"{fields[first].tag}=")
        piece = pieces[first - 2]
        pieces[first - 2] = piece[:start] + _not_all(fields[first].tag, values) + piece[start:]
    *literals, symbol = plan.symbol[1]
    market = fields[plan.market].value
    if plan.market not in plan.literal or any(i not in plan.literal for i in literals):
        return None
    texts = compiler.texts()
    last = "" if symbol in compiler.groups else fields[symbol].value
    one_record = len(plan.emissions) == 1 and plan.emissions[0].action == RECORD and plan.ticker is None
    prefix = "".join(f"{fields[i].value}." for i in literals) + last
    sequence, symbol_index = compiler.first(plan.sequence), compiler.first(symbol)
    record = record_renderer(texts[0], compiler.group_count) if one_record else None
    return Layout(
        msg_type=plan.msg_type,
        fullmatch=re.compile("".join(pieces), re.ASCII).fullmatch,
        emissions=plan.emissions,
        texts=texts_renderer(texts, compiler.group_count),
        symbol_rule=plan.symbol[0],
        ticker_index=compiler.first(plan.ticker),
        market=market,
        board="" if plan.board is None else fields[plan.board].value,
        hot=(plan.msg_type, sequence, prefix, symbol_index, record),
        strips=any(e.target == "depth" for e in plan.emissions),
    )


def _not_all(tag: int, values: frozenset[str]) -> str:
    """In front of the first field of a tag: it, or a later one, has a value other than `values`. The usual message
    shows it at once; a look-ahead over every message cost 3 µs."""
    none = "|".join(re.escape(value) for value in sorted(values))
    other = f"(?!(?:{none})\\x01)"
    return f"(?:{other}|(?=.*?\\x01{tag}={other}))"
