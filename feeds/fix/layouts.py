"""Compiles a plan into a layout: one pattern over the whole message, one %-template per emission.

Theory: the tag order of a message type repeats. The first message of a shape goes the general path; its plan becomes
one `re` pattern with possessive quantifiers (numbers checked as numbers, so they never become Python objects) and
templates. Later messages are `template % match.group(…)`. What does not match goes the general path, which decides
whether it is a new shape or a dead letter.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from feeds.fix.kinds import Kind
from feeds.fix.plan import Emission, Field, Plan

_HEAD_TAGS = (8, 9, 35)


SEPARATOR = "\x00"  # between the emissions' texts of one template; NUL cannot occur in a value a layout accepts


@dataclass(frozen=True, slots=True)
class Layout:
    """One message shape.

    `(template % match.group(*groups)).split(SEPARATOR)` are the emissions' texts. `market`, `board` and `prefix` are
    part of the shape; the symbol is `prefix` and, where `symbol_group` is not 0, that group.
    """

    msg_type: str
    pattern: re.Pattern[str]
    emissions: tuple[Emission, ...]
    template: str
    groups: tuple[int, ...]
    sequence_group: int
    symbol_rule: str
    symbol_prefix: str
    symbol_group: int
    ticker_group: int
    market: str
    board: str
    seen_key: tuple[str, str]
    strips: bool  # a text holds book levels: empty ones are to be left out


class _Compiler:
    """Builds pattern text and remembers which group holds which field."""

    def __init__(self, plan: Plan, fields: Sequence[Field]) -> None:
        self.plan = plan
        self.fields = fields
        self.used = {p for e in plan.emissions for p in e.parts if isinstance(p, int)}
        self.used |= {plan.sequence, *plan.symbol[1]}
        self.used |= {plan.ticker} if plan.ticker is not None else set()
        self.groups: dict[int, int] = {}

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
        if index in self.used and re.compile(pattern).groups == 1:
            self.groups[index] = len(self.groups) + 1
            return pattern
        return re.sub(r"\((?!\?)", "(?:", pattern)

    def text(self, index: int) -> tuple[str, tuple[int, ...]]:
        """Template and groups of one field's value."""
        kind = self.plan.kinds[index]
        value = self.fields[index].value
        if kind is None:
            return "", ()
        if index in self.groups:
            return kind.in_layout(value)[1], (self.groups[index],)
        return kind.render(value).replace("%", "%%"), ()

    def template(self) -> tuple[str, tuple[int, ...]]:
        """All emissions' texts as one template."""
        texts: list[str] = []
        groups: list[int] = []
        for place, emission in enumerate(self.plan.emissions):
            texts.append(SEPARATOR if place else "")
            for part in emission.parts:
                text, used = (part.replace("%", "%%"), ()) if isinstance(part, str) else self.text(part)
                texts.append(text)
                groups.extend(used)
        return "".join(texts), tuple(groups)


def compile_layout(plan: Plan, fields: Sequence[Field]) -> Layout | None:
    """The layout of this message's shape, or None when one of its values is not in the plain spelling."""
    if tuple(f.tag for f in fields[:3]) != _HEAD_TAGS or fields[-1].tag != 10:
        return None
    compiler = _Compiler(plan, fields)
    pieces = [r"8=FIX\.4\.4\x019=\d++\x01", re.escape(f"35={plan.msg_type}") + r"\x01"]
    for index in range(3, len(fields) - 1):
        piece = compiler.piece(index)
        if piece is None:
            return None
        pieces.append(piece)
    pieces.append(r"10=\d{3}\x01")
    guards = [_not_all(indexes, values, fields) for indexes, values in plan.not_all]
    template, groups = compiler.template()
    *literals, symbol = plan.symbol[1]
    market = fields[plan.market].value
    if plan.market not in plan.literal or any(i not in plan.literal for i in literals):
        return None
    last = "" if symbol in compiler.groups else fields[symbol].value
    return Layout(
        msg_type=plan.msg_type,
        pattern=re.compile("".join([*guards, *pieces]), re.ASCII),
        emissions=plan.emissions,
        template=template,
        groups=groups,
        sequence_group=compiler.groups[plan.sequence],
        symbol_rule=plan.symbol[0],
        symbol_prefix="".join(f"{fields[i].value}." for i in literals) + last,
        symbol_group=compiler.groups.get(symbol, 0),
        ticker_group=compiler.groups.get(plan.ticker, 0) if plan.ticker is not None else 0,
        market=market,
        board="" if plan.board is None else fields[plan.board].value,
        seen_key=(market, plan.msg_type),
        strips=any(e.target == "depth" for e in plan.emissions),
    )


def _not_all(indexes: tuple[int, ...], values: frozenset[str], fields: Sequence[Field]) -> str:
    """A look-ahead: one of these fields (all of one tag) has a value other than `values`."""
    tag = fields[indexes[0]].tag
    none = "|".join(re.escape(value) for value in sorted(values))
    return f"(?=.*?\\x01{tag}=(?!(?:{none})\\x01))"
