"""Takes edited feeds into a running capture: lines moved, feeds added, disabled or removed.

The rows are read every two seconds at the edge and compared as values; the loops know nothing of it. A feed whose lines
change is closed and opened again: what its lines bring in that moment (milliseconds) is a gap like any other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from feeds.capture.loop import CaptureLoop
from feeds.config import FeedConfig
from feeds.journal.writer import JournalLocked

log = logging.getLogger(__name__)

EVERY_S = 2.0


class FeedEdits:
    """`watch` says what the rows say now (it runs in a thread); `open` and `end` make and close a feed's loop."""

    def __init__(
        self,
        watch: Callable[[], Sequence[FeedConfig]],
        *,
        open: Callable[[FeedConfig], CaptureLoop],
        end: Callable[[CaptureLoop], None],
    ) -> None:
        self._watch = watch
        self._open = open
        self._end = end
        self._due_s = EVERY_S
        self._failed: dict[str, str] = {}

    async def turn(
        self, feeds: Sequence[FeedConfig], loops: Sequence[CaptureLoop]
    ) -> tuple[list[FeedConfig], list[CaptureLoop]] | None:
        """The feeds and their loops as they are to be; None when nothing changed or it is not time yet."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._due_s:
            return None
        self._due_s = now_s + EVERY_S
        try:
            wanted = list(await asyncio.to_thread(self._watch))
        except Exception as error:  # the database is no part of the data path
            log.warning("the feeds' rows cannot be read (%s: %s); the capture goes on", type(error).__name__, error)
            return None
        if wanted == list(feeds):
            return None
        return await asyncio.to_thread(self._change, wanted, dict(zip(feeds, loops, strict=True)))

    def _change(
        self, wanted: Sequence[FeedConfig], running: dict[FeedConfig, CaptureLoop]
    ) -> tuple[list[FeedConfig], list[CaptureLoop]]:
        names = {feed.name: feed for feed in wanted}
        kept: dict[str, CaptureLoop] = {}
        for feed, loop in running.items():
            edited = names.get(feed.name)
            if edited is not None and _sockets(edited) == _sockets(feed):
                kept[feed.name] = loop
            else:
                log.info("%s: %s by an operator", feed.name, "stopped" if edited is None else "lines changed")
                self._end(loop)
        found: list[tuple[FeedConfig, CaptureLoop]] = []
        for feed in wanted:
            opened = kept.get(feed.name) or self._try(feed)
            if opened is not None:
                found.append((feed, opened))
        return [feed for feed, _loop in found], [loop for _feed, loop in found]

    def _try(self, feed: FeedConfig) -> CaptureLoop | None:
        """Open it and start its thread; what cannot be opened is tried again, and said once."""
        try:
            loop = self._open(feed)
        except (OSError, JournalLocked) as error:
            if self._failed.get(feed.name) != str(error):
                log.error("%s cannot be captured: %s; trying again", feed.name, error)
            self._failed[feed.name] = str(error)
            return None
        self._failed.pop(feed.name, None)
        log.info("%s: captured from now on", feed.name)
        loop.start()
        return loop


def _sockets(feed: FeedConfig) -> tuple[object, ...]:
    return feed.id, feed.lines, feed.receive_buffer_bytes
