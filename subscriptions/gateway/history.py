"""The last records of a stream, for resumes: bounded by count here, by bytes and age over all streams together."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from operator import itemgetter

from subscriptions.gateway.heads import Identity

RECORDS_MAX = 8_192  # of one stream; past it the oldest go, and a resume from before them is a gap
BYTES_MAX = 134_217_728  # of all streams; past it the oldest records of the process go, whatever stream they are of
ENTRY_BYTES = 200  # what a kept record costs beside its text
SLACK = 4  # a list is cut when it is a quarter over its bound, so that cutting costs little per record
HISTORY_CHANNELS = frozenset({"trade", "depth", "status", "account", "raw"})

Entry = tuple[int, bytes, "Identity | None", int]  # (n, line, identity of an image, when it came: messages so far)
_number = itemgetter(0)
_age = itemgetter(3)


class History(list[Entry]):
    """Entries in the order of their numbers. `base` holds the image that each identity had before the first of them."""

    __slots__ = ("base",)

    def __init__(self) -> None:
        super().__init__()
        self.base: dict[Identity, bytes] = {}

    def after(self, number: int) -> list[Entry] | None:
        """Every record behind `number` up to the newest, or None when one of them is no longer (or was never) here."""
        if not self:
            return None
        entries = self[bisect_right(self, number, key=_number) :]
        return entries if len(entries) == self[-1][0] - number else None

    def state_at(self, number: int) -> dict[Identity, bytes]:
        """The last image of each identity at a number that `after` reaches back to."""
        state = dict(self.base)
        for _, line, identity, _ in self[: bisect_right(self, number, key=_number)]:
            if identity is not None:
                state[identity] = line
        return state

    def cut(self, count: int) -> int:
        """Forget the `count` oldest; the bytes that freed."""
        gone = self[:count]
        del self[:count]
        for _, line, identity, _ in gone:
            if identity is not None:
                self.base[identity] = line
        return sum(len(line) for _, line, _, _ in gone) + ENTRY_BYTES * len(gone)

    def cut_before(self, age: int) -> int:
        """Forget what came before `age`; the bytes that freed."""
        return self.cut(bisect_right(self, age, key=_age)) if self and self[0][3] <= age else 0

    def cut_to(self, number: int) -> int:
        """Forget the records up to a number; the bytes that freed."""
        return self.cut(bisect_right(self, number, key=_number))

    def forget(self) -> int:
        """Everything; a new epoch began."""
        freed = self.cut(len(self))
        self.base.clear()
        return freed


class Histories:
    """The bounds of all histories of a process, and what they cost."""

    def __init__(self, *, records_max: int = RECORDS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self.records_max, self.bytes_max = records_max, bytes_max
        self.length_max = records_max + max(1, records_max // SLACK)  # at it the list is cut to records_max
        self.bytes = self.aged_out = 0
        self._age = 0  # what came before is gone

    def keep_within(self, histories: Callable[[], Iterable[History]], *, age: int) -> None:
        """Forget the oldest 64th of all records until the bytes are under the bound; `age` is the present. An eighth in
        one go held the loop for tens of ms."""
        while self.bytes > self.bytes_max and self._age < age:
            self._age += max(1, (age - self._age) // 64)
            for history in histories():
                before = len(history)
                self.bytes -= history.cut_before(self._age)
                self.aged_out += before - len(history)
