"""Hands a journal from the capture that writes it to one that has just started: no datagram missing, none twice.

The new capture opens its sockets first, so that from then on the kernel keeps a copy of every datagram for it. Then it
asks for the journal: a file `writer.ask` in the journal's folder, locked for as long as it waits (the right to write
there is the right to ask; the lock of one that died is gone with it). The old capture looks for that file, reads its
sockets dry, closes the journal and with it gives up the folder's lock. The new one takes the lock and goes on. Both
copies of a multicast datagram bear the same kernel timestamp, so what the old one has written is known by line, time
and bytes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from feeds.blocks import Entry
from feeds.capture.receiver import LineReceiver
from feeds.journal import JournalReader, JournalWriter
from feeds.journal.writer import JournalLocked

ASK_NAME = "writer.ask"
TAKE_S_MAX = 10.0  # past it the old capture does not answer: JournalLocked says so, and nothing has been changed
ASK_S_MAX = 0.3  # the lock of a request that is held for longer is that of another capture that asks
LOOK_S = 0.005
BATCH_MAX = 128
MARGIN_NS = 50_000_000  # datagrams that came in over several processors may be out of the order of their times


def is_asked_for(folder: Path) -> bool:
    """Whether a living capture waits for this journal; a request whose asker died is removed."""
    path = folder / ASK_NAME
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not _has_lock(fd):
            return True
        if _stands_at(fd, path):
            path.unlink()
        return False
    finally:
        os.close(fd)


def take_over(folder: Path, feed_id: int, *, wait_s: float = TAKE_S_MAX) -> JournalWriter:
    """The journal's writer, once its owner has let go (at once when it has none). Raises JournalLocked."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        asked = False
        deadline = time.monotonic() + wait_s
        while True:
            try:
                return JournalWriter(folder, feed_id)
            except JournalLocked:
                if time.monotonic() > deadline:
                    raise
            if not asked:
                _ask(folder, stack)
                asked = True
            time.sleep(LOOK_S)


def _ask(folder: Path, stack: contextlib.ExitStack) -> None:
    """The file is made and then locked; the old capture may look between the two, hold the lock for a moment, and
    remove what nobody seems to ask. So ask again until the locked file is the one that is there."""
    path = folder / ASK_NAME
    deadline = time.monotonic() + ASK_S_MAX
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _has_lock(fd) and _stands_at(fd, path):
            stack.callback(os.close, fd)
            stack.callback(path.unlink, missing_ok=True)
            return
        os.close(fd)
        if time.monotonic() > deadline:
            raise JournalLocked(f"{folder}: another capture is taking this journal over")
        time.sleep(LOOK_S)


def _has_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stands_at(fd: int, path: Path) -> bool:
    """Whether an open file is still the one of that name. Whoever has its lock may remove it."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


class Overlap:
    """What the old capture has journaled of the time since `since_ns`: the copies of it are not written again."""

    def __init__(self, folder: Path, since_ns: int) -> None:
        self.last_ns = [0, 0]
        self.dropped = 0
        self._written: Counter[tuple[int, int, bytes]] = Counter()
        reader = JournalReader(folder)
        position = reader.seek_time(since_ns)
        while True:
            blocks, position = reader.read(position)
            if not blocks:
                break
            for block in blocks:
                for rx_ns, line, _flags, data in block.entries:
                    if rx_ns >= since_ns:
                        self._written[line, rx_ns, data] += 1
                        self.last_ns[line] = max(self.last_ns[line], rx_ns)
        reader.close()

    def new(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those of `entries` that are not in the journal yet."""
        fresh: list[Entry] = []
        for entry in entries:
            copy = (entry[1], entry[0], entry[3])
            if self._written[copy] > 0:
                self._written[copy] -= 1
                self.dropped += 1
            else:
                fresh.append(entry)
        return fresh

    def join(self, lines: Sequence[LineReceiver], writer: JournalWriter) -> None:
        """Journal what waits in the new sockets up to the old capture's last datagram. Raises JournalWriteError."""
        for line in lines:
            more, reached = True, 0
            while more and reached <= self.last_ns[line.index] + MARGIN_NS:
                entries: list[Entry] = []
                more = line.drain(entries, BATCH_MAX)
                if not entries:
                    break
                reached = entries[-1][0]
                if fresh := self.new(entries):
                    writer.append(fresh)
