"""What a publisher's process does beside publishing, once a second: keep history, ask and hear the parsers, take edits.

Everything that waits for a database or a queue is here, in a task of its own: a database that hangs costs history and
edits, never a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from feeds.bus.base import Bus
from feeds.capture.feed_monitor import FeedNote
from feeds.config import FeedConfig
from feeds.parser.suspects import suspects_key
from feeds.parser.turns import again_key, went_key

if TYPE_CHECKING:
    from feeds.capture.publisher import FeedPublisher

log = logging.getLogger(__name__)

TURN_S = 1.0
RELOAD_TURNS = 2  # edited rows are looked for every so many turns
RETRY_NOTES_MAX = 20_000  # notes kept while the database is away; past it the oldest are given up and counted

Keep = Callable[[Sequence[FeedNote]], int]
Reload = Callable[[], Sequence[FeedConfig]]


class PublisherEdge:
    """`keep` writes history rows, `reload` reads the feeds' rows; both run in a thread. None leaves it out."""

    def __init__(self, bus: Bus, *, keep: Keep | None = None, reload: Reload | None = None) -> None:
        self.bus = bus
        self.notes_lost = 0
        self.kept = 0
        self._keep = keep
        self._reload = reload
        self._waiting: list[FeedNote] = []
        self._failing = False
        self._answered: dict[str, dict[str, int]] = {}  # by feed: what was said of the requests

    async def run(
        self,
        stop: asyncio.Event,
        publishers: Sequence[FeedPublisher],
        apply: Callable[[Sequence[FeedConfig]], None],
    ) -> None:
        """Until `stop`; then the last notes are kept."""
        async with asyncio.TaskGroup() as group:  # a database that hangs keeps no parser waiting
            group.create_task(self._go_back_when_asked(stop, publishers), name="go back when asked")
            await self._turns(stop, publishers, apply)

    async def _go_back_when_asked(self, stop: asyncio.Event, publishers: Sequence[FeedPublisher]) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TURN_S)
            for publisher in list(publishers):
                try:
                    await self._answer(publisher)
                except ConnectionError:
                    break  # of no use while the bus is away

    async def _answer(self, publisher: FeedPublisher) -> None:
        """Go back when a parser asks for it, and say so: what it gets may be behind a backlog."""
        feed, back = publisher.feed.name, publisher.back
        body = await self.bus.retained(again_key(feed))
        if body is not None:
            back.asked(publisher, body, time.time_ns())
        if back.answers != self._answered.get(feed, {}):
            answers = dict(back.answers)
            await self.bus.retain(went_key(feed), json.dumps(answers).encode())
            self._answered[feed] = answers

    async def _turns(
        self,
        stop: asyncio.Event,
        publishers: Sequence[FeedPublisher],
        apply: Callable[[Sequence[FeedConfig]], None],
    ) -> None:
        turns = 0
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TURN_S)
            turns += 1
            await self.keep_notes(publishers)
            for publisher in list(publishers):
                await self._ask_parsers(publisher)
            if turns % RELOAD_TURNS == 0 and not stop.is_set():
                await self._take_edits(apply)

    async def keep_notes(self, publishers: Sequence[FeedPublisher]) -> None:
        """Hand the notes to the history; what it refuses is tried again."""
        for publisher in publishers:
            self._waiting += publisher.monitor.take_notes()
        if self._keep is None:
            self._waiting.clear()
            return
        beyond = len(self._waiting) - RETRY_NOTES_MAX
        if beyond > 0:
            del self._waiting[:beyond]
            self.notes_lost += beyond
        if not self._waiting:
            return
        notes = list(self._waiting)
        try:
            self.kept += await asyncio.to_thread(self._keep, notes)
        except Exception:  # the database is not part of the data path
            if not self._failing:
                log.exception("%d history rows could not be written; tried again each second", len(notes))
            self._failing = True
        else:
            self._failing = False
            del self._waiting[: len(notes)]

    async def _ask_parsers(self, publisher: FeedPublisher) -> None:
        """While something is suspect: have all partitions seen an image of everything?"""
        monitor = publisher.monitor
        if monitor.suspect_since_ns is None:
            return
        reports: dict[int, tuple[int, int]] = {}
        for partition in range(publisher.feed.partitions):
            try:
                body = await self.bus.retained(suspects_key(publisher.feed.name, partition))
            except ConnectionError:
                return
            if body is None:
                return
            through, left = json.loads(body)
            reports[partition] = (int(through), int(left))
        monitor.heal(reports, publisher.now_ns)

    async def _take_edits(self, apply: Callable[[Sequence[FeedConfig]], None]) -> None:
        if self._reload is None:
            return
        try:
            feeds = await asyncio.to_thread(self._reload)
        except Exception as error:
            log.warning("the feeds' rows cannot be read (%s: %s); the work goes on", type(error).__name__, error)
            return
        apply(feeds)
