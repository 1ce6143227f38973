"""The capture worker: opens the lines of its feeds, starts a loop per feed, watches them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from feeds.capture.edits import FeedEdits
from feeds.capture.hand_over import Overlap, is_asked_for, take_over
from feeds.capture.loop import CaptureLoop, Syncer
from feeds.capture.receiver import LineReceiver
from feeds.capture.tuning import Tuning, tune
from feeds.capture.wake import Waker, wake_address
from feeds.config import FeedConfig
from feeds.journal import JournalWriter
from feeds.journal.writer import JournalLocked

log = logging.getLogger(__name__)

WATCH_S = 0.1
STOP_S = 2.0


def journal_folder(data_dir: Path, feed: str) -> Path:
    """Where a feed's journal lives."""
    return data_dir / "journal" / feed


class CaptureWorker:
    """Captures `feeds` into `data_dir/journal/<feed>`. With `take_over` the journals of a capture that still runs."""

    kind = "capture"

    def __init__(
        self,
        feeds: Sequence[FeedConfig],
        *,
        data_dir: Path,
        prefix: str,
        name: str = "capture",
        take_over: bool = False,
        tuning: Tuning = Tuning(),
    ) -> None:
        self.name = name
        self.feeds = feeds
        self.data_dir = data_dir
        self.prefix = prefix
        self.take_over = take_over
        self.tuning = tuning
        self.loops: list[CaptureLoop] = []
        self.handed_over: set[CaptureLoop] = set()
        self.overlap_dropped = 0
        self.watch: Callable[[], Sequence[FeedConfig]] | None = None  # what the feeds' rows say now
        self._sync_due = threading.Event()

    def open(self) -> None:
        """Open journals and sockets; says what each line got. Raises OSError naming the line, or JournalLocked."""
        for feed in self.feeds:
            self.loops.append(self._open(feed))

    def _open(self, feed: FeedConfig) -> CaptureLoop:
        if self.take_over:
            lines, writer = self._take(feed)
        else:
            writer = JournalWriter(journal_folder(self.data_dir, feed.name), feed.id)
            try:
                lines = _open_lines(feed)
            except OSError:
                writer.close()
                raise
        if writer.repaired_bytes:
            log.warning("%s: cut %d torn bytes off the journal's end", feed.name, writer.repaired_bytes)
        waker = Waker(wake_address(self.prefix, feed.name))
        return CaptureLoop(feed.name, lines=lines, writer=writer, waker=waker, sync_due=self._sync_due)

    def _take(self, feed: FeedConfig) -> tuple[list[LineReceiver], JournalWriter]:
        """The sockets first: from then on the kernel keeps for us what the old capture may not read any more."""
        folder = journal_folder(self.data_dir, feed.name)
        since_ns = time.time_ns()
        lines = _open_lines(feed)
        try:
            writer = take_over(folder, feed.id)
        except JournalLocked:
            for line in lines:
                line.close()
            raise
        overlap = Overlap(folder, since_ns)
        overlap.join(lines, writer)
        self.overlap_dropped += overlap.dropped
        log.info("%s: taken over at capture_seq %d, %d copies left out", feed.name, writer.next_seq, overlap.dropped)
        return lines, writer

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until every journal was handed over to a capture that asked for it."""
        await asyncio.to_thread(self.open)
        syncer = Syncer([loop.writer for loop in self.loops], self._sync_due)
        gc.freeze()  # what is open now stays; the collector need not look at it again
        for thread in (*self.loops, syncer):
            thread.start()
        tune(self.loops, self.tuning)
        self.take_over = False  # what is opened from now on is new
        edits = FeedEdits(self.watch, open=self._open, end=_end) if self.watch is not None else None
        try:
            while not stop.is_set() and (len(self.handed_over) < len(self.loops) or not self.loops):
                await self._look()
                changed = await edits.turn(self.feeds, self.loops) if edits and not self.handed_over else None
                if changed is not None:
                    self.feeds, self.loops = changed
                    syncer.writers = [loop.writer for loop in self.loops]
                    tune(self.loops, self.tuning)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), WATCH_S)
        finally:
            await asyncio.to_thread(self._close, syncer)

    async def _look(self) -> None:
        for loop in self.loops:
            if loop in self.handed_over:
                continue
            if loop.failure is not None:
                raise loop.failure
            if is_asked_for(loop.writer.folder):
                log.info("%s: another capture takes over", loop.name)
                await asyncio.to_thread(_end, loop)
                self.handed_over.add(loop)

    def _close(self, syncer: Syncer) -> None:
        for loop in self.loops:
            if loop not in self.handed_over:
                loop.stop()
        for loop in self.loops:
            loop.join(STOP_S)
        syncer.stop()
        syncer.join(1.0)
        for loop in self.loops:
            if loop not in self.handed_over:
                loop.writer.close()
                loop.close()

    def stats(self) -> dict[str, object]:
        """Per line what the kernel and the loop counted; per feed what the journal took."""
        loops = list(zip(self.feeds, self.loops, strict=False))  # none are open before the start
        lines = [(f"{feed.name}.{line.line.name}", line) for feed, loop in loops for line in loop.lines]
        return {
            "datagrams_total": {name: receiver.received for name, receiver in lines},
            "kernel_drops": sum(receiver.drops for _, receiver in lines),
            "kernel_drops_by_line": {name: receiver.drops for name, receiver in lines},
            "journal_bytes": sum(loop.writer.written_bytes for loop in self.loops),
            "journaled": {f.name: loop.writer.next_seq - 1 for f, loop in loops},
            "blocks": sum(loop.blocks for loop in self.loops),
            "overlap_copies": self.overlap_dropped,
            "write_failures": sum(loop.write_failures for loop in self.loops),
        }


def _open_lines(feed: FeedConfig) -> list[LineReceiver]:
    receivers = []
    for index, line in enumerate(feed.lines):
        receiver = LineReceiver(line, index, feed.receive_buffer_bytes)
        level = logging.INFO if receiver.buffer.enough else logging.WARNING
        where = (feed.name, line.name, line.group, line.port)
        log.log(level, "%s line %s %s:%d: %s", *where, receiver.buffer.describe())
        receivers.append(receiver)
    return receivers


def _end(loop: CaptureLoop) -> None:
    """Read the sockets dry, close the journal and give up its lock: the one that asked for it goes on."""
    loop.stop()
    loop.join(STOP_S)
    loop.writer.close()
    loop.close()
