"""Sums up a truth log of any size: what the exchange made, as counts and a sum of digests."""

from __future__ import annotations

import mmap
from pathlib import Path

from feeds.simulator.truth import MAGIC, BadTruth, TruthReader


class MappedTruth(TruthReader):
    """Reads a log that is larger than the memory it may take."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if content[: len(MAGIC)] != MAGIC:
            raise BadTruth(f"{path}: no truth log")
        self._content = content  # type: ignore[assignment]
        self._start = content.find(b"\n", len(MAGIC)) + 1


def sums_of(path: Path) -> tuple[int, int]:
    """Messages, heartbeats included, and the sum of their digests modulo 2^64: the same multiset has the same sum."""
    count = total = 0
    for message in MappedTruth(path):
        count += 1
        total += int.from_bytes(message.digest, "little")
    return count, total % (1 << 64)
