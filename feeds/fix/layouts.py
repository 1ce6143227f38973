"""Compiles a plan into a layout: one pattern over the whole message, one %-template per emission.

Theory: the tag order of a message type repeats. The first message of a shape goes the general path; its plan becomes
one `re` pattern with possessive quantifiers (numbers checked as numbers, so they never become Python objects) and
templates. Later messages are `template % match.group(…)`. What does not match goes the general path, which decides
whether it is a new shape or a dead letter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

from feeds.fix.kinds import Kind
from feeds.fix.plan import RECORD, Emission, Field, Plan

_HEAD_TAGS = (8, 9, 35)


SEPARATOR = "\x00"  # between the emissions' texts of one template; NUL cannot occur in a value a layout accepts


@dataclass(frozen=True, slots=True)
class Layout:
    """One message shape.

    `pattern` covers the message from its MsgType value to its CheckSum field, which the caller has checked.
    `(template % pick(match.groups())).split(SEPARATOR)` are the emissions' texts. `market`, `board` and the symbol's
    prefix are part of the shape; the symbol is the prefix and, where its index is not -1, that group.
    """

    msg_type: str
    pattern: re.Pattern[str]
    fullmatch: Callable[[str, int, int], re.Match[str] | None]
    emissions: tuple[Emission, ...]
    template: str
    symbol_rule: str
    ticker_index: int
    market: str
    board: str
    # For the hot path, unpacked at once: MsgType, sequence index, seen key, symbol prefix, symbol index, template,
    # pick, and the channel when the message becomes one record of it and nothing else.
    hot: tuple[str, int, tuple[str, str], str, int, str, Callable[[tuple[str, ...]], object], str]
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

    def text(self, index: int) -> tuple[str, tuple[int, ...]]:
        """Template and groups of one field's value."""
        kind = self.plan.kinds[index]
        value = self.fields[index].value
        if kind is None:
            return "", ()
        if index in self.groups:
            return kind.in_layout(value)[1], tuple(self.groups[index])
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
    pieces = [re.escape(plan.msg_type) + r"\x01"]
    for index in range(3, len(fields) - 1):
        piece = compiler.piece(index)
        if piece is None:
            return None
        pieces.append(piece)
    guards = [_not_all(indexes, values, fields) for indexes, values in plan.not_all]
    template, groups = compiler.template()
    *literals, symbol = plan.symbol[1]
    market = fields[plan.market].value
    if plan.market not in plan.literal or any(i not in plan.literal for i in literals):
        return None
    last = "" if symbol in compiler.groups else fields[symbol].value
    pattern = re.compile("".join([*guards, *pieces]), re.ASCII)
    one_record = len(plan.emissions) == 1 and plan.emissions[0].action == RECORD and plan.ticker is None
    prefix = "".join(f"{fields[i].value}." for i in literals) + last
    pick = itemgetter(*groups)
    sequence, symbol_index = compiler.first(plan.sequence), compiler.first(symbol)
    seen_key = (market, plan.msg_type)
    channel = plan.emissions[0].target if one_record else ""
    return Layout(
        msg_type=plan.msg_type,
        pattern=pattern,
        fullmatch=pattern.fullmatch,
        emissions=plan.emissions,
        template=template,
        symbol_rule=plan.symbol[0],
        ticker_index=compiler.first(plan.ticker),
        market=market,
        board="" if plan.board is None else fields[plan.board].value,
        hot=(plan.msg_type, sequence, seen_key, prefix, symbol_index, template, pick, channel),
        strips=any(e.target == "depth" for e in plan.emissions),
    )


def _not_all(indexes: tuple[int, ...], values: frozenset[str], fields: Sequence[Field]) -> str:
    """A look-ahead: one of these fields (all of one tag) has a value other than `values`."""
    tag = fields[indexes[0]].tag
    none = "|".join(re.escape(value) for value in sorted(values))
    return f"(?=.*?\\x01{tag}=(?!(?:{none})\\x01))"
