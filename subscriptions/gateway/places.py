"""Places in the flush interval: who is written to when, and who of them has something.  [pure]

Every seat has one of PLACES places for good, so a record waits for one interval at most wherever in it it comes. A seat
that has something is noted with its place (an outbox holds its place's `ready`); when a record has gone to so many that
finding out who they are costs as much as asking all, all are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from subscriptions.gateway.outbox import Outbox
from subscriptions.gateway.variants import Variant

PLACES = 8  # a power of two: a flush of few seats has one, two or four turns instead


@dataclass(slots=True, eq=False)
class Place:
    names: dict[str, None] = field(default_factory=dict)
    ready: dict[str, Outbox] = field(default_factory=dict)
    whole: bool = False  # ask everybody


class Places:
    def __init__(self) -> None:
        self.all = [Place() for _ in range(PLACES)]

    def take(self, name: str) -> Place:
        """A place for a new seat, where the fewest are."""
        place = min(self.all, key=lambda one: len(one.names))
        place.names[name] = None
        return place

    def leave(self, name: str) -> None:
        for place in self.all:
            place.names.pop(name, None)
            place.ready.pop(name, None)

    def waiting(self) -> set[str]:
        """Who is noted, wherever."""
        return {name for place in self.all for name in (place.names if place.whole else place.ready)}

    def note(self, fresh: Sequence[Variant], seats: int) -> None:
        """Variants with records that nobody was asked about yet."""
        reached = 0
        for variant in fresh:
            variant.fresh = False
            reached += len(variant.members)
        if reached >= seats:
            for place in self.all:
                place.whole = True
            return
        for variant in fresh:
            for outbox in variant.members.values():
                outbox.wake()

    def due(self, turn: int, turns: int) -> list[str]:
        """Who is noted in the places of one of so many turns; they are no more afterwards."""
        names: list[str] = []
        for place in self._of(turn, turns):
            names += place.names if place.whole else place.ready
            place.whole = False
            place.ready.clear()
        return names

    def _of(self, turn: int, turns: int) -> Iterable[Place]:
        size = PLACES // turns
        return self.all[turn * size : (turn + 1) * size]


def turns_of(seats: int, interval_s: float, *, seats_max: int, turn_s_min: float) -> int:
    """In how many turns to flush: as many as leave about `seats_max` to each, none shorter than `turn_s_min`."""
    turns = 1
    while turns < PLACES and seats > turns * seats_max and interval_s / (2 * turns) >= turn_s_min:
        turns *= 2
    return turns
