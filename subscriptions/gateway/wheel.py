"""A timing wheel: names by the moment somebody has to look at them, so that the others cost nothing.  [pure]"""

from __future__ import annotations

SLOT_NS = 100_000_000


class Wheel:
    """Each name is to be in it once: whoever takes it out puts it in again for its next moment."""

    def __init__(self) -> None:
        self._slots: dict[int, list[str]] = {}  # number of the slot → who is due in it
        self._next = 0  # the first slot that was not taken out yet

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def put(self, name: str, due_ns: int) -> None:
        """What is over already is due next."""
        self._slots.setdefault(max(due_ns // SLOT_NS, self._next), []).append(name)

    def due(self, now_ns: int) -> list[str]:
        """Take out everybody whose slot is over."""
        now = now_ns // SLOT_NS
        names: list[str] = []
        for slot in sorted(one for one in self._slots if one < now):
            names += self._slots.pop(slot)
        self._next = max(self._next, now)
        return names
