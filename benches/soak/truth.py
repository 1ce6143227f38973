"""Sums up a truth log of any size: what the exchange made, as counts, a sum of digests and the sequences' bits."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benches.soak.numbers import UNCHECKED, Numbers
from benches.soak.order import source_of
from feeds.simulator.truth import MAGIC, BadTruth, TruthReader

SAY_EACH = 1_000_000


class MappedTruth(TruthReader):
    """Reads a log that is larger than the memory it may take."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if content[: len(MAGIC)] != MAGIC:
            raise BadTruth(f"{path}: no truth log")
        self._content = content  # type: ignore[assignment]
        self._start = content.find(b"\n", len(MAGIC)) + 1


class Made(NamedTuple):
    """Messages, heartbeats included, and the sum of their digests modulo 2^64: the same multiset has the same sum."""

    count: int
    digest_sum: int
    numbers: Numbers


def sums_of(path: Path, say: Callable[[int], None] = lambda _count: None) -> Made:
    """`say` is called with the messages so far, now and then."""
    count = total = 0
    numbers = Numbers()
    for message in MappedTruth(path):
        count += 1
        total += int.from_bytes(message.digest, "little")
        if message.sequence and message.msg_type not in UNCHECKED:
            numbers.add((message.market, source_of(message.market, message.msg_type)), message.sequence)
        if count % SAY_EACH == 0:
            say(count)
    return Made(count, total % (1 << 64), numbers)
