"""The numbering of PARSED messages: an overlap is a redelivery to drop, a jump is a loss to count."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

RUNS_MAX = 4_096  # numberings remembered, the least recently used goes: its next message counts as a first one

RunName = tuple[str, str, str, str]  # (origin, feed, partition, run)


@dataclass(frozen=True, slots=True)
class Placement:
    """How a message lies to what came before: drop its first `drop` records; `lost` records are missing before it.
    `restarted`: its parser began a numbering from nothing, having lost the one before."""

    drop: int
    lost: int
    restarted: bool = False


class Spans:
    def __init__(self) -> None:
        self._last: OrderedDict[RunName, int] = OrderedDict()
        self._runs: dict[tuple[str, str, str], str] = {}  # (origin, feed, partition) → the run seen last; bounded below
        self.duplicates = 0
        self.lost = 0
        self.jumps = 0

    def missing_before(self, headers: Mapping[str, object]) -> int:
        """How many records a message's numbers skip; 0 for a numbering not seen before. Takes no note."""
        try:
            seen = self._last.get(_name(headers))
            return 0 if seen is None else max(0, int(str(headers["first"])) - seen - 1)
        except (KeyError, ValueError):
            return 0

    def place(self, headers: Mapping[str, object]) -> Placement:
        """Take note of one message; raises KeyError or ValueError when its headers do not number it."""
        first, last = int(str(headers["first"])), int(str(headers["last"]))
        if last < first - 1:
            raise ValueError(f"headers number the records {first} to {last}")
        name = _name(headers)
        seen = self._last.get(name)
        restarted = False
        if seen is None:
            place = name[:3]
            restarted = first == 1 and self._runs.get(place, name[3]) != name[3]
            self._runs[place] = name[3]
            seen = first - 1  # whatever was before is before our time
            if len(self._last) >= RUNS_MAX:
                (*gone, _), _ = self._last.popitem(last=False)
                self._runs.pop((gone[0], gone[1], gone[2]), None)
        drop = max(0, min(seen, last) - first + 1)
        lost = max(0, first - seen - 1)
        self._last[name] = max(seen, last)
        self._last.move_to_end(name)
        self.duplicates += drop
        self.lost += lost
        self.jumps += bool(lost)
        return Placement(drop, lost, restarted)


def _name(headers: Mapping[str, object]) -> RunName:
    return str(headers["origin"]), str(headers["feed"]), str(headers["partition"]), str(headers["run"])
