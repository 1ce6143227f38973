"""Splits what a run left where the exchange's numbers or the trading day began anew: each era has its own identities.

An era is the exchange's word for it, not the product's: `Evidence.eras` says of each message's bytes in which era it
was made. That the product's epochs fall where the eras do is part of I5.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from feeds.blocks import FLAG_GAP, FLAG_MESSAGE, Block, Entry
from feeds.records import epoch_text
from testbed.invariants.arbitration import Passed
from testbed.invariants.identity import Identity, identity_of
from testbed.invariants.overtaken import overtaken_in

if TYPE_CHECKING:
    from testbed.evidence import Evidence


@dataclass(slots=True)
class Era:
    """What belongs to one era. `late` are copies that came when their number was declared missing already, and
    snapshots that are `overtaken`: behind newer messages of their instrument."""

    number: int
    epochs: set[int] = field(default_factory=set)
    journaled: set[Identity] = field(default_factory=set)
    passed: Passed = field(default_factory=Passed)
    records: list[dict[str, Any]] = field(default_factory=list)
    dead: list[Identity] = field(default_factory=list)
    truth: list[Entry] = field(default_factory=list)
    overtaken: set[Identity] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)  # I5: of whom that was told with nothing newer before

    @property
    def late(self) -> frozenset[Identity]:
        gaps = self.passed.gaps
        filled = {i for i in self.passed.ids if i.sequence in gaps.get((i.market, i.stream), ())}
        return frozenset(filled | self.overtaken)

    @property
    def in_time(self) -> list[Entry]:
        """The messages that were passed on in order, as the exchange made them."""
        late = self.late
        ids = ((entry, identity_of(entry[3])) for entry in self.truth)
        return [entry for entry, identity in ids if identity in self.passed.ids and identity not in late]


def eras_of(found: Evidence) -> list[Era]:
    """The eras of a run, in order; all of it is one where the evidence names none."""
    eras = {number: Era(number) for number in sorted({0, *found.eras.values()})}

    def era(data: bytes) -> Era:
        return eras[found.eras.get(data, 0)]

    for _, _, _, data in found.journal:
        if (identity := identity_of(data)) is not None:
            era(data).journaled.add(identity)
    by_epoch: dict[int, Era] = {}
    for block in found.raw:
        _take_messages(block, eras, found.eras, by_epoch)
    for block in found.raw:
        _take_gaps(block, by_epoch.get(block.epoch, eras[0]))
    for owner in eras.values():
        mine = [block for block in found.raw if by_epoch.get(block.epoch, eras[0]) is owner]
        owner.overtaken, owner.wrong = overtaken_in(entry for block in mine for entry in block.entries)
    texts = {epoch_text(epoch): owner for epoch, owner in by_epoch.items()}
    for text in found.records:
        record = json.loads(text)
        texts.get(record["ep"], eras[0]).records.append(record)
    for letter in found.dead:
        if (identity := identity_of(letter.data)) is not None:
            era(letter.data).dead.append(identity)
    for message in found.truth:
        data = message.data or b""
        era(data).truth.append((message.at_ns, 0, FLAG_MESSAGE, data))
    return list(eras.values())


def _take_messages(block: Block, eras: dict[int, Era], named: dict[bytes, int], by_epoch: dict[int, Era]) -> None:
    for _, _, flags, data in block.entries:
        identity = identity_of(data) if flags == FLAG_MESSAGE else None
        if identity is not None:
            owner = eras[named.get(data, 0)]
            owner.passed.ids[identity] += 1
            owner.epochs.add(block.epoch)
            by_epoch[block.epoch] = owner


def _take_gaps(block: Block, owner: Era) -> None:
    for _, _, flags, data in block.entries:
        if flags == FLAG_GAP:
            gap = json.loads(data)
            numbers = owner.passed.gaps.setdefault((gap["market"], gap["stream"]), set())
            numbers.update(range(gap["from"], gap["to"] + 1))


def epochs_fall_where_eras_do(eras: Iterable[Era]) -> list[str]:
    """I5: an identity is (epoch, stream, sequence), so each era has one epoch of its own, and they rise."""
    violations: list[str] = []
    highest = 0
    for era in eras:
        if not era.passed.ids:
            continue
        if len(era.epochs) != 1:
            violations.append(f"I5: era {era.number} has the epochs {sorted(era.epochs)}, one expected")
        if min(era.epochs) <= highest:
            violations.append(f"I5: era {era.number} in epoch {min(era.epochs)}, which is not above {highest}")
        highest = max(highest, *era.epochs)
    return violations
