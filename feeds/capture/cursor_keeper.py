"""Saves a publisher's newest confirmed cursor ten times a second, beside the loop.

Replacing a file waits for the file system's own journal, which the capture's fdatasync holds fifty times a second: in
the loop that was a pause of the whole publisher.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from feeds.capture.cursor import Cursor, save_cursor

log = logging.getLogger(__name__)

INTERVAL_NS = 100_000_000


class CursorKeeper:
    """One publisher's cursor file. What is offered while a save runs is saved by the next one, the newest wins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failures = 0
        self._newest: Cursor | None = None
        self._saved_ns = 0
        self._closed = False
        self._saving: asyncio.Future[None] | None = None

    def offer(self, cursor: Cursor) -> None:
        """Everything before `cursor` is safe."""
        self._newest = cursor
        if self._closed:
            self._save(cursor)

    def save_soon(self, now_ns: int) -> None:
        """Save in a thread when it is time again and there is something new."""
        cursor = self._newest
        if cursor is None or self._saving is not None or 0 <= now_ns - self._saved_ns < INTERVAL_NS:
            return
        self._newest, self._saved_ns = None, now_ns
        self._saving = asyncio.get_running_loop().run_in_executor(None, self._save, cursor)
        self._saving.add_done_callback(self._saved)

    async def close(self) -> None:
        """Save what is left, and from now on what is offered, here and now."""
        self._closed = True
        if self._saving is not None:
            await asyncio.wait({self._saving})
        if self._newest is not None:
            self._save(self._newest)

    def _saved(self, _done: object) -> None:
        self._saving = None

    def _save(self, cursor: Cursor) -> None:
        try:
            save_cursor(self.path, cursor)
        except OSError as error:  # a full disk: the old cursor is good, only further back
            self.failures += 1
            log.error("cannot save the cursor %s: %s", self.path, error)
            if self._newest is None:  # tried again soon
                self._newest = cursor
