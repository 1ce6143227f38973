"""I2, I4 and I13: what was journaled was passed on, and what no line brought is a published gap, range by range."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from testbed.invariants.identity import Identity, some

UNCHECKED = frozenset({"M1"})
Numbers = dict[tuple[str, str], set[int]]


@dataclass(slots=True)
class Passed:
    """What a run's RAW messages hold, repeats included, and the ranges it declared missing."""

    ids: Counter[Identity] = field(default_factory=Counter)
    gaps: Numbers = field(default_factory=dict)


def numbers_of(ids: Iterable[Identity]) -> Numbers:
    found: Numbers = {}
    for identity in ids:
        if identity.stream not in UNCHECKED:
            found.setdefault((identity.market, identity.stream), set()).add(identity.sequence)
    return found


def counters_agree(lines: Mapping[str, Mapping[str, int]], *, unique: int) -> list[str]:
    """I2 by the publisher's own counters: A + B = unique + duplicate + late, and each line adds up."""
    violations = [
        f"I2 line {name}: received != first + duplicate + late in {dict(c)}"
        for name, c in lines.items()
        if c["received"] != c["first"] + c["duplicate"] + c["late"]
    ]
    total = {key: sum(c[key] for c in lines.values()) for key in ("received", "duplicate", "late")}
    if total["received"] != unique + total["duplicate"] + total["late"]:
        violations.append(f"I2: A + B = {total['received']} != unique {unique} + duplicate, late {total}")
    return violations


def spans_add_up(journaled: Iterable[Identity], passed: Passed) -> list[str]:
    """I2: per stream unique + missing = the sequence span; missing = the published ranges, and nothing else."""
    arrived, raw = numbers_of(journaled), numbers_of(passed.ids)
    violations = []
    for stream in sorted(arrived.keys() | raw.keys()):
        name = ".".join(stream)
        here, there = arrived.get(stream, set()), raw.get(stream, set())
        gaps = passed.gaps.get(stream, set())
        known = there | gaps
        if not known:
            violations.append(f"I2 {name}: {len(here)} numbers journaled, none passed on")
            continue
        base, last = min(known), max(known)
        never = {n for n in here if n >= base} - there
        if never:
            violations.append(f"I2 {name}: journaled and not passed on: {some(sorted(never))}")
        invented = there - here
        if invented:
            violations.append(f"I2 {name}: passed on and never journaled: {some(sorted(invented))}")
        silent = set(range(base, last + 1)) - known
        if silent:
            violations.append(f"I2 {name}: missing without a published range: {some(sorted(silent))}")
    return violations


def journaled_is_confirmed(journaled: Iterable[Identity], passed: Passed, *, backlog_bytes: int) -> list[str]:
    """I4 once everything is drained: what was journaled is on RAW, and nothing waits."""
    violations = []
    if backlog_bytes:
        violations.append(f"I4: {backlog_bytes} bytes unconfirmed after the run")
    raw = numbers_of(passed.ids)
    for stream, numbers in sorted(numbers_of(journaled).items()):
        base = min(raw.get(stream, {0}) | passed.gaps.get(stream, {1 << 62}))
        lost = {n for n in numbers if n >= base} - raw.get(stream, set())
        if lost:
            violations.append(f"I4 {'.'.join(stream)}: journaled, never confirmed: {some(sorted(lost))}")
    return violations


def losses_have_events(missing: Numbers, published: Numbers) -> list[str]:
    """I13: a number that no line brought, between two that came, is in a published range."""
    violations = []
    for stream in sorted(missing):
        silent = missing[stream] - published.get(stream, set())
        if silent:
            violations.append(f"I13 {'.'.join(stream)}: lost without an event: {some(sorted(silent))}")
    return violations


def holes(ids: Iterable[Identity], base: Numbers) -> Numbers:
    """Numbers between the lowest passed on and the highest that came which never came."""
    found: Numbers = {}
    for stream, numbers in numbers_of(ids).items():
        lowest = min(base.get(stream) or numbers)
        inside = {n for n in numbers if n >= lowest}
        if inside:
            found[stream] = set(range(lowest, max(inside) + 1)) - inside
    return found
