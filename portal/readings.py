"""Readings: what the workers' heartbeats say, as totals that can be added and turned into rates.  [pure]"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

GREEN, AMBER, RED, GREY = "green", "amber", "red", "grey"
# A heartbeat comes every second. Three missed are a hiccup, ten are a fault.
AMBER_AGE_S = 3.0
RED_AGE_S = 10.0
_WORST = {RED: 3, AMBER: 2, GREEN: 1, GREY: 0}

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """One worker's heartbeat. `stats` is what its `stats()` returned."""

    kind: str
    name: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    stopped_at: datetime | None
    stats: Mapping[str, object] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        """Names the worker across samples."""
        return (self.kind, self.name, self.host)

    def age_s(self, now: datetime) -> float:
        """Seconds since its last sign of life."""
        return max(0.0, (now - self.seen_at).total_seconds())

    def light(self, now: datetime) -> str:
        """Green, amber or red by age; grey when it was stopped on purpose."""
        if self.stopped_at is not None:
            return GREY
        age = self.age_s(now)
        return RED if age > RED_AGE_S else AMBER if age > AMBER_AGE_S else GREEN

    def total(self, *path: str) -> float:
        """The number at `path`, or the sum of the numbers below it; 0 when there is none."""
        found = self.at(*path)
        return sum(value for _path, value in flatten(found)) if isinstance(found, Mapping) else _number(found) or 0.0

    def at(self, *path: str) -> object:
        """What stands at `path` in the stats; None when it is absent."""
        found: object = self.stats
        for part in path:
            if not isinstance(found, Mapping):
                return None
            found = found.get(part)
        return found


def worst(lights: Iterable[str]) -> str:
    """The most alarming of `lights`; grey when there is none."""
    return max(lights, key=_WORST.__getitem__, default=GREY)


def flatten(stats: object, path: Key = ()) -> Iterator[tuple[Key, float]]:
    """All numbers in nested stats, with their paths. Lists and texts are left out."""
    if isinstance(stats, Mapping):
        for name, value in stats.items():
            yield from flatten(value, (*path, str(name)))
    elif (number := _number(stats)) is not None:
        yield path, number


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)


class Rates:
    """Per-second rates of every total in the stats, from one sample to the next.

    A worker that restarted begins anew: its first sample has no rate, and none is ever negative.
    """

    def __init__(self) -> None:
        self._before: dict[Key, tuple[Reading, dict[Key, float]]] = {}
        self._rates: dict[Key, dict[Key, float]] = {}

    def update(self, readings: Iterable[Reading]) -> None:
        """Take a new sample. A heartbeat that was not rewritten since keeps its rates."""
        readings = list(readings)
        present = {reading.key for reading in readings}
        for gone in set(self._before) - present:
            del self._before[gone]
            self._rates.pop(gone, None)
        for reading in readings:
            self._update(reading, dict(flatten(reading.stats)))

    def _update(self, reading: Reading, totals: dict[Key, float]) -> None:
        before = self._before.get(reading.key)
        if before is not None and before[0].started_at == reading.started_at and before[0].pid == reading.pid:
            elapsed_s = (reading.seen_at - before[0].seen_at).total_seconds()
            if elapsed_s <= 0:
                return
            self._rates[reading.key] = {
                path: max(0.0, value - before[1][path]) / elapsed_s
                for path, value in totals.items()
                if path in before[1]
            }
        else:
            self._rates[reading.key] = {}
        self._before[reading.key] = (reading, totals)

    @property
    def known(self) -> bool:
        """Whether there was a second sample of any worker yet."""
        return any(self._rates.values())

    def of(self, reading: Reading, *path: str) -> float:
        """The rate of the total at `path`, or of all below it; 0 for a worker that is not alive any more."""
        return sum(value for below, value in self._rates.get(reading.key, {}).items() if below[: len(path)] == path)
