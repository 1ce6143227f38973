"""Draws the timeline of a run from its seed: which fault begins when and how long it lasts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

WARM_S = 4.0
QUIET_S = (1.5, 4.0)  # between the end of a fault and the next one
LINE_S = (3.0, 8.0)
BROKER_DOWN_S = (1.0, 5.0)
PAUSE_S_MAX = 30.0
CONSTANT = "burst"  # no event of the timeline: it comes all the time


class Event(NamedTuple):
    """`share` and `line` matter to the faults of the lines."""

    at_s: float
    name: str
    lasts_s: float
    line: int
    share: float


def timeline(names: Sequence[str], seconds: float, seed: int) -> list[Event]:
    """Every fault comes once in a random order, then again in another, until the time is over."""
    rng = random.Random(f"timeline {seed}")
    events: list[Event] = []
    wanted = [name for name in names if name != CONSTANT]
    at_s, turn = WARM_S, list[str]()
    while wanted:
        if not turn:
            turn = rng.sample(wanted, len(wanted))
        name = turn.pop()
        lasts_s = _length(name, seconds, rng)
        if at_s + lasts_s > seconds:
            break
        share = {"loss": rng.uniform(0.05, 0.3), "loss-both": rng.uniform(0.01, 0.03)}.get(name, rng.uniform(0.02, 0.1))
        events.append(Event(at_s, name, lasts_s, rng.randrange(2), round(share, 3)))
        at_s += lasts_s + rng.uniform(*QUIET_S)
    return events


def _length(name: str, seconds: float, rng: random.Random) -> float:
    if name == "broker-pause":
        return rng.uniform(0.3, 1.0) * min(PAUSE_S_MAX, seconds / 10)
    return rng.uniform(*(BROKER_DOWN_S if name == "broker" else LINE_S))
