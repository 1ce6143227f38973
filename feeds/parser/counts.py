"""Counters of a parser process, over all its partitions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(slots=True)
class ParserCounts:
    """RAW ids = parsed + dead + unrouted (I5); `duplicates` came again and were dropped by identity."""

    parsed: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    dead: dict[str, int] = field(default_factory=dict)
    unrouted: dict[str, int] = field(default_factory=dict)
    records: int = 0
    duplicates: int = 0
    repeated: int = 0  # whole RAW messages that came again
    late: int = 0
    late_images: int = 0
    gaps: int = 0
    out_of_order: int = 0
    bad_blocks: int = 0
    reinjected: int = 0  # dead letters that passed when they were put in again; they were counted in `dead` before
    not_held: int = 0  # early RAW messages past the bound of what is held
    asked: int = 0  # publishers asked to go back for RAW messages that were lost
    filled: int = 0  # chains of a publisher that went back, taken in place of a broken one
    jumps: int = 0  # lost for good: gone on behind them, with a status record
    jumped: int = 0  # RAW messages in these jumps
