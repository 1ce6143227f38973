"""The cursors a publisher passed a while ago, so that it can go back when RAW messages were lost behind its back.

One a second is kept for two minutes, then one a minute for a day, in memory and in `publisher.earlier` beside the
cursor (one JSON line each), so that a successor can go back into its predecessor's time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from feeds.capture.cursor import Cursor
from feeds.journal import Position

log = logging.getLogger(__name__)

NOTE_NS = 1_000_000_000
RECENT_MAX = 120  # then one a minute stays
SPARSE_NS = 60_000_000_000
OLD_MAX = 1_440  # past it the oldest is forgotten: what was lost before it becomes a visible jump
WRITE_AGAIN = 1_200  # lines appended until the file is written anew
MARGIN = 3  # cursors further back than one partition needs: the others have lost about the same


class Passed(NamedTuple):
    """A cursor and what each partition had been sent up to it: `<publisher>:<number>` of its last RAW message."""

    at_ns: int
    reached: tuple[str, ...]
    cursor: Cursor

    def is_behind(self, partition: int, chains: Mapping[str, int]) -> bool:
        """Whether a parser that is at `chains` has everything that was published up to here."""
        publisher, _, number = self.reached[partition].rpartition(":")
        return chains.get(publisher, 0) >= int(number)


class Earlier:
    """The passed cursors of one feed, oldest first. `path` may not exist."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.old: list[Passed] = []
        self.recent: list[Passed] = []
        self._noted_ns = 0
        self._lines = 0
        self._load()

    def begin(self, now_ns: int, reached: Sequence[str], cursor: Cursor) -> None:
        """A publisher starts at `cursor`; without a state it is the first ever, and nothing was before it."""
        if cursor.state is None:
            self.old, self.recent = [], []
        if reached:  # of a cursor of before this was kept nothing is known
            self._add(Passed(now_ns, tuple(reached), cursor))
        self._write_all()

    def note(self, now_ns: int, reached: Sequence[str], cursor: Cursor) -> None:
        """Called at each flush; keeps one a second."""
        if 0 <= now_ns - self._noted_ns < NOTE_NS:
            return
        self._noted_ns = now_ns
        passed = Passed(now_ns, tuple(reached), cursor)
        self._add(passed)
        if self._lines >= WRITE_AGAIN:
            self._write_all()
            return
        self._lines += 1
        try:
            with self.path.open("a") as file:
                file.write(_line(passed))
        except OSError as error:  # a full disk: kept in memory, a successor cannot go back as far
            log.debug("%s: %s", self.path, error)

    def find(self, partition: int, chains: Mapping[str, int]) -> Passed | None:
        """The newest cursor before which `partition` has everything, and a little further back; `chains` is how far it
        is with each publisher. None: none reaches back so far."""
        known = [*self.old, *self.recent]
        for at in range(len(known) - 1, -1, -1):
            if partition < len(known[at].reached) and known[at].is_behind(partition, chains):
                return known[max(0, at - MARGIN)]
        return None

    def publishers(self) -> set[str]:
        """Whose cursors these are."""
        return {text.rpartition(":")[0] for passed in (*self.old, *self.recent) for text in passed.reached}

    def _add(self, passed: Passed) -> None:
        self.recent.append(passed)
        while len(self.recent) > RECENT_MAX:
            oldest = self.recent.pop(0)
            if not self.old or oldest.at_ns - self.old[-1].at_ns >= SPARSE_NS:
                self.old.append(oldest)
                del self.old[:-OLD_MAX]

    def _write_all(self) -> None:
        temporary = self.path.with_suffix(".earlier.new")
        known = [*self.old, *self.recent]
        try:
            temporary.write_text("".join(map(_line, known)))
            temporary.replace(self.path)
        except OSError as error:
            log.debug("%s: %s", self.path, error)
        self._lines = 0

    def _load(self) -> None:
        try:
            lines = self.path.read_text().splitlines()
        except (FileNotFoundError, UnicodeDecodeError):
            return
        for line in lines:
            try:
                at_ns, reached, position, state = json.loads(line)
                passed = Passed(int(at_ns), tuple(reached), Cursor(Position(*position), state))
            except (ValueError, TypeError):
                continue  # torn by a kill
            self._add(passed)


def _line(passed: Passed) -> str:
    at_ns, reached, cursor = passed
    return json.dumps([at_ns, reached, list(cursor.position), cursor.state], separators=(",", ":")) + "\n"
