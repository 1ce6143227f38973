"""Reads a journal: from any position, following the tail, or from a time."""

from __future__ import annotations

import os
import time
from bisect import bisect_right
from pathlib import Path

from feeds.blocks import Block, BlockError, block_length
from feeds.journal.scan import scan
from feeds.journal.segments import NS, START, Position, segment_names
from feeds.journal.time_index import read_index

READ_BYTES = 1 << 20
FOLDER_TICK_NS = 50_000_000
# Two sockets are drained in turn, so neighbouring blocks may overlap in time by a batch; seek this much earlier.
SEEK_MARGIN_NS = NS


class JournalReader:
    """Follows one feed's journal. Not thread-safe; open as many readers as needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.bad_bytes = 0
        self.segments_missing = 0
        self._name = ""
        self._fd = -1
        self._listing: list[str] = []
        self._listed_ns = 0

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._name = -1, ""

    def read(self, position: Position, bytes_max: int = READ_BYTES) -> tuple[list[Block], Position]:
        """Blocks from `position` on (about `bytes_max`, at least one when there is one) and the position behind them.

        An empty list means the tail is reached. Bad bytes in the middle are skipped and counted in `bad_bytes`; a
        segment that is gone is stepped over and counted in `segments_missing`.
        """
        while True:
            if not self._open(position):
                following = self._following(position.segment)
                if following is None:
                    return [], position
                if position.segment:
                    self.segments_missing += 1
                position = Position(following, 0)
                continue
            blocks, position, more = self._read_here(position, bytes_max)
            if blocks or not more:
                return blocks, position

    def tail(self) -> Position:
        """The end of what is written now."""
        names = segment_names(self.folder)
        return Position(names[-1], (self.folder / names[-1]).stat().st_size) if names else START

    def seek_time(self, rx_ns: int) -> Position:
        """A position at or before the first datagram received at `rx_ns` (readers filter by time from there)."""
        wanted = rx_ns - SEEK_MARGIN_NS
        for name in reversed(segment_names(self.folder)):
            points = read_index(self.folder / name)
            if points and points[0][0] <= wanted:
                return Position(name, points[bisect_right(points, (wanted, 1 << 62)) - 1][1])
        return START

    def _open(self, position: Position) -> bool:
        if position.segment and position.segment == self._name:
            return True
        self.close()
        if not position.segment:
            return False
        try:
            self._fd = os.open(self.folder / position.segment, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        self._name = position.segment
        return True

    def _following(self, segment: str) -> str | None:
        """The segment after `segment`. The listing is kept while the folder has not changed: a follower at the tail
        asks hundreds of times a second."""
        try:
            changed_ns = self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if changed_ns != self._listed_ns:
            # A file made within the same tick of the folder's clock would not show: such a listing is not kept.
            settled = time.time_ns() - changed_ns > FOLDER_TICK_NS
            self._listing = segment_names(self.folder)
            self._listed_ns = changed_ns if settled else 0
        return next((name for name in self._listing if name > segment), None)

    def _read_here(self, position: Position, bytes_max: int) -> tuple[list[Block], Position, bool]:
        """Blocks of the open segment; the third value says whether reading on makes sense at once."""
        name, offset = position
        buffer = os.pread(self._fd, bytes_max, offset)
        if not buffer:
            following = self._following(name)
            if following is None:
                return [], position, False
            # A segment with a successor is final; what was appended between our read and the rotation is read first.
            buffer = os.pread(self._fd, bytes_max, offset)
            if not buffer:
                return [], Position(following, 0), True
        found = scan(buffer, final=False)
        self.bad_bytes += found.bad_bytes
        if found.end:
            return found.blocks, Position(name, offset + found.end), not found.blocks
        return self._stuck(position, buffer, bytes_max)

    def _stuck(self, position: Position, buffer: bytes, bytes_max: int) -> tuple[list[Block], Position, bool]:
        """Nothing whole at `position`: the block is larger than the read, is being written, or is bad for good."""
        name, offset = position
        if len(buffer) == bytes_max:
            # A damaged length may claim anything; the file has the last word.
            rest = os.fstat(self._fd).st_size - offset
            return self._read_here(position, max(bytes_max + 1, min(_claimed(buffer), rest)))
        following = self._following(name)
        if following is not None:  # final now, and perhaps whole by now
            buffer = os.pread(self._fd, bytes_max, offset)
        found = scan(buffer, final=True)
        if following is not None:
            self.bad_bytes += found.bad_bytes
            return found.blocks, Position(name, offset + found.end), not found.blocks
        # A good block behind it: it was not being written, it is damaged. What follows the last good one may be.
        self.bad_bytes += found.bad_bytes - (len(buffer) - found.good_end)
        return found.blocks, Position(name, offset + found.good_end), False


def _claimed(buffer: bytes) -> int:
    """The length the block at the start of `buffer` claims; for what is no block, twice what was read."""
    try:
        return block_length(buffer)
    except BlockError:
        return len(buffer) * 2
