"""Goes back in the journal when a parser asks for RAW messages that were confirmed and lost all the same.

A broker's data wiped, a queue deleted: the journal has what was in them. The publisher takes an earlier cursor and
begins a new chain of RAW messages there (feeds/parser/turns.py has the other side). Everything since is published again
and dropped by identity where it had arrived. What the figures counted is not counted twice.

What was lost was mostly lost by all partitions, and each asks. A chain that began far enough back for one of them is on
its way to all, perhaps behind a backlog; beginning another one for each would send everything once more.
"""

from __future__ import annotations

import json
import logging
import time
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feeds.capture.earlier import Earlier, Passed
from feeds.capture.line_counts import LineCounts
from feeds.capture.raw_stage import RawStage
from feeds.journal import START
from feeds.parser.turns import base_of

if TYPE_CHECKING:
    from feeds.capture.publisher import FeedPublisher

log = logging.getLogger(__name__)

REQUEST_AGE_NS_MAX = 30_000_000_000  # an older request was made to another publisher, or answered by one
COMING_NS_MAX = 30_000_000_000  # a chain of before that a parser still does not know is taken for lost as well
FIGURES = ("unique", "gaps", "missing", "resets")


class GoingBack:
    """One feed's side of it."""

    def __init__(self, folder: Path) -> None:
        self.earlier = Earlier(folder / "publisher.earlier")
        self.times = 0
        self.refused = 0
        self.answers: dict[str, int] = {}  # partition → `at` of its newest request that is answered; see `went_key`
        self._answered_ns = 0
        self._gone: tuple[str, Passed] | None = None  # the last chain that was begun, and where
        self._gone_ns = 0
        self._asked: Passed | None = None
        self._until = START  # everything before it was read already
        self._counted: tuple[list[LineCounts], dict[str, int]] | None = None

    def asked(self, publisher: FeedPublisher, body: bytes, now_ns: int) -> None:
        """A parser's request (`Turns.request`); one that is meant for another publisher is left to that one."""
        try:
            value: dict[str, Any] = json.loads(body)
            at_ns, partition, held = int(value["at"]), int(value["partition"]), list(value["held"])
            chains = {str(name): int(number) for name, number in value["chains"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s: no request to go back: %s", publisher.feed.name, error)
            return
        if at_ns <= self._answered_ns or now_ns - at_ns > REQUEST_AGE_NS_MAX:
            return
        ours = {base_of(name) for name in (*self.earlier.publishers(), publisher.stage.publisher)}
        if not ours & {base_of(str(name)) for name in held}:
            return
        self._answered_ns = at_ns
        found = self.earlier.find(partition, chains)
        if found is None:
            self.refused += 1
            log.error("%s: partition %d has lost RAW messages of before what is kept", publisher.feed.name, partition)
            return
        self.answers[str(partition)] = at_ns
        if self._is_coming(found, chains, now_ns):
            log.info("%s: what partition %d has lost is on its way", publisher.feed.name, partition)
        elif self._asked is None or found.cursor.position < self._asked.cursor.position:
            self._asked = found

    def _is_coming(self, wanted: Passed, chains: dict[str, int], now_ns: int) -> bool:
        """Whether the last chain began far enough back, and the parser has had nothing of it yet."""
        if self._gone is None or now_ns - self._gone_ns > COMING_NS_MAX:
            return False
        name, began = self._gone
        return name not in chains and began.cursor.position <= wanted.cursor.position

    def turn(self, publisher: FeedPublisher) -> None:
        """Between two reads of the journal: go back when asked to; find out when the way back is done."""
        if self._asked is not None:
            passed, self._asked = self._asked, None
            self._go(publisher, passed)
        elif self._counted is not None and publisher.read_to >= self._until:
            self._caught_up(publisher)

    def _go(self, publisher: FeedPublisher, passed: Passed) -> None:
        old, cursor = publisher.stage, passed.cursor
        self.times += 1
        self._gone_ns = time.time_ns()
        stage = RawStage(publisher.feed, old.origin, publisher=f"{base_of(old.publisher)}.{self.times}")
        if cursor.state is not None:
            stage.restore(cursor.state)
        stage.paired, stage.follows = old.paired, passed.reached
        stage.follow(*old.partner_epoch)  # the cursor may be of before it was taken
        stage.arbiter.lines = old.arbiter.lines
        for name in FIGURES:
            setattr(stage.arbiter, name, getattr(old.arbiter, name))
        if self._counted is None:
            figures = {name: int(getattr(old.arbiter, name)) for name in FIGURES}
            self._counted = [copy(line) for line in old.arbiter.lines], figures
        log.warning("%s: goes back to %s %d", publisher.feed.name, *cursor.position)
        self._gone = (stage.publisher, passed)
        self._until = max(self._until, publisher.read_to)
        publisher.restart_at(cursor.position, stage)

    def _caught_up(self, publisher: FeedPublisher) -> None:
        assert self._counted is not None
        (lines, figures), self._counted = self._counted, None
        arbiter = publisher.stage.arbiter
        for line, before in zip(arbiter.lines, lines, strict=True):
            for name in LineCounts.__slots__:
                setattr(line, name, getattr(before, name))
        for name, value in figures.items():
            setattr(arbiter, name, value)
        publisher.stage.monitor = publisher.monitor
        publisher.monitor.say = publisher.stage.state_changed
