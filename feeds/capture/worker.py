"""The capture worker: opens the lines of its feeds, starts a loop per feed, watches them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from feeds.capture.loop import CaptureLoop, Syncer
from feeds.capture.receiver import LineReceiver
from feeds.capture.wake import Waker, wake_address
from feeds.config import FeedConfig
from feeds.journal import JournalWriter

log = logging.getLogger(__name__)

WATCH_S = 0.25


def journal_folder(data_dir: Path, feed: str) -> Path:
    """Where a feed's journal lives."""
    return data_dir / "journal" / feed


class CaptureWorker:
    """Captures `feeds` into `data_dir/journal/<feed>`."""

    kind = "capture"

    def __init__(self, feeds: Sequence[FeedConfig], *, data_dir: Path, prefix: str, name: str = "capture") -> None:
        self.name = name
        self.feeds = feeds
        self.data_dir = data_dir
        self.prefix = prefix
        self.loops: list[CaptureLoop] = []
        self._sync_due = threading.Event()

    def open(self) -> None:
        """Open journals and sockets; says what each line got. Raises OSError naming the line, or JournalLocked."""
        for feed in self.feeds:
            writer = JournalWriter(journal_folder(self.data_dir, feed.name), feed.id)
            if writer.repaired_bytes:
                log.warning("%s: cut %d torn bytes off the journal's end", feed.name, writer.repaired_bytes)
            receivers = []
            for index, line in enumerate(feed.lines):
                receiver = LineReceiver(line, index, feed.receive_buffer_bytes)
                level = logging.INFO if receiver.buffer.enough else logging.WARNING
                where = (feed.name, line.name, line.group, line.port)
                log.log(level, "%s line %s %s:%d: %s", *where, receiver.buffer.describe())
                receivers.append(receiver)
            waker = Waker(wake_address(self.prefix, feed.name))
            self.loops.append(
                CaptureLoop(feed.name, lines=receivers, writer=writer, waker=waker, sync_due=self._sync_due)
            )

    async def run(self, stop: asyncio.Event) -> None:
        self.open()
        syncer = Syncer([loop.writer for loop in self.loops], self._sync_due)
        for thread in (*self.loops, syncer):
            thread.start()
        try:
            while not stop.is_set():
                for loop in self.loops:
                    if loop.failure is not None:
                        raise loop.failure
                try:
                    await asyncio.wait_for(stop.wait(), WATCH_S)
                except TimeoutError:
                    continue
        finally:
            await asyncio.to_thread(self._close, syncer)

    def _close(self, syncer: Syncer) -> None:
        for loop in self.loops:
            loop.stop()
        for loop in self.loops:
            loop.join(2.0)
        syncer.stop()
        syncer.join(1.0)
        for loop in self.loops:
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
            "write_failures": sum(loop.write_failures for loop in self.loops),
        }
