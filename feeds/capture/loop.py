"""The capture loop of one feed: sockets to journal, in a thread of its own, nothing else in the way."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Sequence

from feeds.blocks import Entry
from feeds.capture.receiver import LineReceiver
from feeds.capture.wake import Waker
from feeds.journal import JournalWriteError, JournalWriter

log = logging.getLogger(__name__)

BATCH_MAX = 128  # datagrams per line and block (about 128 KB of two lines); the rest waits in the socket's buffer
SYNC_BYTES = 1 << 20
WRITE_RETRY_S = 0.2
# A round (poll, two reads that find nothing, write, wake) costs about as much as ten datagrams. Under load the loop
# lets some gather: from 15,000 a second on for half a millisecond, from 80,000 on for a whole one; below, each is
# written as it comes. What has gathered into large blocks lingers less in the publisher (GATHERED there).
WINDOW_NS = 10_000_000
GATHER_S = ((800, 0.001), (150, 0.0005), (0, 0.0))  # from so many datagrams in a window on


class CaptureLoop(threading.Thread):
    """Reads until `stop` is called. A disk that refuses is tried again; meanwhile the kernel's buffer holds what
    comes, and what it cannot hold is counted (SO_RXQ_OVFL)."""

    def __init__(
        self,
        name: str,
        *,
        lines: Sequence[LineReceiver],
        writer: JournalWriter,
        waker: Waker,
        sync_due: threading.Event,
    ) -> None:
        super().__init__(name=f"capture {name}", daemon=True)
        self.lines = lines
        self.writer = writer
        self.waker = waker
        self.sync_due = sync_due
        self.blocks = 0
        self.write_failures = 0
        self.failure: BaseException | None = None
        self._stop_read, self._stop_write = os.pipe()
        self._stopping = False

    def stop(self) -> None:
        """Ask the loop to end; what waits in the sockets is read first."""
        self._stopping = True
        os.write(self._stop_write, b"x")

    def run(self) -> None:
        try:
            self._read_on()
        except BaseException as error:
            log.exception("%s failed", self.name)
            self.failure = error

    def _read_on(self) -> None:
        poll = select.poll()
        for line in self.lines:
            poll.register(line.fileno(), select.POLLIN)
        poll.register(self._stop_read, select.POLLIN)
        writer, lines = self.writer, self.lines
        since_ns, count, gather_s = 0, 0, 0.0
        while True:
            poll.poll()
            if (elapsed := time.monotonic_ns() - since_ns) >= WINDOW_NS:
                per_window = count * WINDOW_NS / elapsed
                gather_s = next(seconds for least, seconds in GATHER_S if per_window >= least)
                since_ns, count = since_ns + elapsed, 0
            if gather_s:
                time.sleep(gather_s)
            stopping = self._stopping  # looked at before the last draw, so that what came before the stop is read
            more = True
            while more:
                more = False
                entries: list[Entry] = []
                for line in lines:
                    more |= line.drain(entries, BATCH_MAX)
                if not entries:
                    break
                self._append(entries)
                self.blocks += 1
                self.waker.wake()
                count += len(entries)
                if writer.unsynced_bytes >= SYNC_BYTES:
                    self.sync_due.set()
            if stopping:
                return

    def _append(self, entries: list[Entry]) -> None:
        while True:
            try:
                self.writer.append(entries)
                return
            except JournalWriteError as error:
                if not self.write_failures % 25:  # every five seconds
                    log.error("cannot write the journal: %s; %d datagrams wait, trying again", error, len(entries))
                self.write_failures += 1
                if self._stopping:
                    log.error("stopped with %d datagrams that could not be written", len(entries))
                    return
                time.sleep(WRITE_RETRY_S)

    def close(self) -> None:
        for line in self.lines:
            line.close()
        self.waker.close()
        os.close(self._stop_read)
        os.close(self._stop_write)


class Syncer(threading.Thread):
    """Group fdatasync of all journals of a process: every 20 ms, or at once when a MiB waits."""

    INTERVAL_S = 0.02

    def __init__(self, writers: Sequence[JournalWriter], due: threading.Event) -> None:
        super().__init__(name="journal sync", daemon=True)
        self.writers = writers
        self.due = due
        self.failures = 0
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True
        self.due.set()

    def run(self) -> None:
        while not self._stopping:
            self.due.wait(self.INTERVAL_S)
            self.due.clear()
            for writer in self.writers:
                try:
                    writer.sync()
                except OSError as error:
                    self.failures += 1
                    log.error("cannot sync the journal %s: %s", writer.folder, error)
