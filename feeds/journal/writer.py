"""Appends blocks to a feed's journal: segments by session date and size, a torn tail repaired on start.

One thread appends; `sync` may be called from another (group fdatasync: see `feeds.capture.syncer`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from feeds.blocks import Entry, encode_block
from feeds.journal.scan import scan
from feeds.journal.segments import Position, next_segment, segment_names, session_date, session_end_ns
from feeds.journal.time_index import STEP_BYTES, append_point, index_path
from feeds.records import epoch_number

SEGMENT_BYTES = 128 << 20


class JournalWriteError(OSError):
    """The journal could not take a block (disk full, I/O error). Nothing of the block is left in the file."""


class JournalLocked(RuntimeError):
    """Another process writes this journal."""


class JournalWriter:
    """The one writer of a journal folder (an exclusive lock keeps it so)."""

    def __init__(self, folder: Path, feed_id: int, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = Path(folder)
        self.feed_id = feed_id
        self.segment_bytes = segment_bytes
        self.repaired_bytes = 0
        self.written_bytes = 0
        self.unsynced_bytes = 0
        self._guard = threading.Lock()  # held while the file changes or is synced, never while it is written
        self._fd = -1
        self._name = ""
        self._offset = 0
        self._index_due = 0
        self._session_end_ns = 0
        self.epoch = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock_fd = self._lock()
        self.next_seq = self._repair()

    def _lock(self) -> int:
        fd = os.open(self.folder / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise JournalLocked(f"{self.folder}: another capture writes this journal") from None
        return fd

    def _repair(self) -> int:
        """Cut a torn tail off the last segment and return the capture_seq that follows the last whole block."""
        for name in reversed(segment_names(self.folder)):
            path = self.folder / name
            buffer = path.read_bytes()
            found = scan(buffer, final=True)  # a block in the middle may look torn (its length is damaged): read on
            if name == segment_names(self.folder)[-1] and found.good_end < len(buffer):
                self.repaired_bytes += len(buffer) - found.good_end
                os.truncate(path, found.good_end)
                index_path(path).unlink(missing_ok=True)
            if found.blocks:
                last = found.blocks[-1]
                return last.first_seq + len(last.entries)
        return 1

    def append(self, entries: Sequence[Entry]) -> Position:
        """Write one block of `entries` (at least one) and return where it begins. Raises JournalWriteError."""
        rx_ns = entries[0][0]
        try:
            if self._fd < 0 or self._offset >= self.segment_bytes or rx_ns >= self._session_end_ns:
                self._rotate(rx_ns)
            block = encode_block(entries, feed_id=self.feed_id, epoch=self.epoch, first_seq=self.next_seq)
            self._write(block)
        except JournalWriteError:
            raise
        except OSError as error:
            raise JournalWriteError(error.errno or errno.EIO, f"{self.folder}: {error.strerror}") from error
        at = self._offset
        if at >= self._index_due:
            append_point(self.folder / self._name, rx_ns, at)
            self._index_due = at + STEP_BYTES
        self._offset = at + len(block)
        self.written_bytes += len(block)
        self.unsynced_bytes += len(block)
        self.next_seq += len(entries)
        return Position(self._name, at)

    def _write(self, block: bytes) -> None:
        view = memoryview(block)
        done = 0
        try:
            while done < len(block):
                written = os.write(self._fd, view[done:])
                if written <= 0:
                    raise OSError(errno.EIO, "write returned 0 bytes")
                done += written
        except OSError as error:
            os.ftruncate(self._fd, self._offset)  # never leave a torn block in the middle of the file
            os.lseek(self._fd, self._offset, os.SEEK_SET)
            path = self.folder / self._name
            raise JournalWriteError(error.errno or errno.EIO, f"{path}: {error.strerror}") from error

    def _rotate(self, rx_ns: int) -> None:
        date = session_date(rx_ns)
        name = next_segment(self.folder, date)
        fd = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with self._guard:
            if self._fd >= 0:
                os.fdatasync(self._fd)
                os.close(self._fd)
            self._fd, self._name, self._offset, self._index_due = fd, name, 0, 0
        self._session_end_ns = session_end_ns(rx_ns)
        self.epoch = max(epoch_number(date), self.epoch)

    def sync(self) -> None:
        """Make everything written so far survive a power loss (fdatasync). May be called from another thread."""
        with self._guard:
            if self._fd >= 0 and self.unsynced_bytes:
                self.unsynced_bytes = 0
                os.fdatasync(self._fd)

    def close(self) -> None:
        self.sync()
        with self._guard:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
        os.close(self._lock_fd)
