"""The delay line: live PARSED messages, kept until they are as old as a delayed right demands.  [pure]

One line serves every delay (each reads it with a cursor of its own) and every subscriber of one: what is released is
published once, in a stream space of its own (`delayed:900`), and is the same bytes as it was live. Messages are kept
in compressed chunks; a chunk is released when its youngest record is old enough, so a record may come a fraction of
a second later than its delay, never earlier.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from subscriptions.gateway.heads import HEAD

CHUNK_BYTES = 65_536  # of records in a chunk
CHUNK_NS = 250_000_000  # of time in a chunk: what a delay may come late
# On depth records of four symbols: 330 MB/s and 1:21; level 6 has 73 MB/s and 1:24. Closing a chunk must not stall.
COMPRESSION = 1
CHUNK_OVERHEAD_BYTES = 200  # of the objects around a chunk: many small chunks count too


@dataclass(slots=True)
class Skipped:
    """The records of one stream that were not kept."""

    symbol: str
    epoch: bytes
    first: int
    last: int


Skips = dict[bytes, Skipped]  # by stream key


@dataclass(slots=True)
class _Chunk:
    last_ns: int  # of its youngest record
    packed: bytes
    skips: Skips


class DelayLine:
    """At `bytes_max` what comes is not kept: in its place the line carries which records of which stream are missing.

    So a line that is too small delivers part of the records and says which not; what is in it is never lost.
    """

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.queued_bytes = 0
        self.records_skipped = 0
        self._chunks: deque[_Chunk] = deque()
        self._first = 0  # the number of the oldest chunk
        self._cursors: dict[int, int] = {}  # delay (s) → number of the next chunk to release
        self._open: list[bytes] = []  # the chunk being filled
        self._open_bytes = 0
        self._open_first_ns = self._last_ns = 0

    @property
    def delays(self) -> frozenset[int]:
        return frozenset(self._cursors)

    def set_delays(self, delays_s: Iterable[int]) -> None:
        """The delays served from now on; a new one begins with all that the line holds."""
        wanted = set(delays_s)
        self._cursors = {delay: self._cursors.get(delay, self._first) for delay in wanted}
        if not wanted:
            self._chunks.clear()
            self._open, self._open_bytes = [], 0
            self.queued_bytes = self._first = 0

    def push(self, body: bytes, at_ns: int) -> None:
        """Take one message that came at `at_ns`. A clock that goes back makes nothing older than what came before."""
        if not self._cursors:
            return
        at_ns = max(at_ns, self._last_ns)
        if self._open and (at_ns - self._open_first_ns > CHUNK_NS or self._open_bytes >= CHUNK_BYTES):
            self._close_chunk()
        if not self._open:
            self._open_first_ns = at_ns
        self._open.append(body)
        self._open_bytes += len(body) + 1
        self._last_ns = at_ns

    def release(self, delay_s: int, now_ns: int) -> bytes | Skips | None:
        """The next chunk that is old enough for this delay, or what is missing in its place; None: nothing is due."""
        if self._open and now_ns - self._open_first_ns > CHUNK_NS:
            self._close_chunk()
        number = self._cursors[delay_s]
        if number - self._first >= len(self._chunks):
            return None
        chunk = self._chunks[number - self._first]
        if now_ns - chunk.last_ns < delay_s * 1_000_000_000:
            return None
        self._cursors[delay_s] = number + 1
        released = chunk.skips or zlib.decompress(chunk.packed)
        self._forget_released()
        return released

    def _forget_released(self) -> None:
        while self._chunks and self._first < min(self._cursors.values()):
            self.queued_bytes -= _size(self._chunks.popleft())
            self._first += 1

    def _close_chunk(self) -> None:
        body = b"\n".join(self._open)
        self._open, self._open_bytes = [], 0
        chunk = _Chunk(self._last_ns, zlib.compress(body, COMPRESSION), {})
        if self.queued_bytes + _size(chunk) > self.bytes_max:
            self._skip(body)
            return
        self.queued_bytes += _size(chunk)
        self._chunks.append(chunk)

    def _skip(self, body: bytes) -> None:
        """Note what is missing, in the last chunk if that does so already: a full line grows by streams only."""
        last = self._chunks[-1] if self._chunks else None
        reached = max(self._cursors.values()) - self._first == len(self._chunks)
        if last is None or not last.skips or reached:
            last = _Chunk(self._last_ns, b"", {})
            self._chunks.append(last)
            self.queued_bytes += _size(last)
        last.last_ns = self._last_ns
        for line in body.split(b"\n"):
            head = HEAD.match(line)
            if head is None:
                continue
            self.records_skipped += 1
            number, found = int(head[4]), last.skips.get(head[1])
            if found is None or found.epoch != head[5]:
                last.skips[head[1]] = Skipped(head[3].decode(), head[5], number, number)
            else:
                found.last = number


def _size(chunk: _Chunk) -> int:
    return len(chunk.packed) + CHUNK_OVERHEAD_BYTES
