"""The bounded queue between the reader of a connection and the program that consumes a subscription."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from mdds_client.continuity import Gap
from mdds_client.records import Record


class Inbox:
    """At most `bound` records. At the bound: `drop` False makes the reader wait (TCP then pushes back on the server,
    whose ladder for slow consumers decides); True drops the oldest record, counted and reported as a gap."""

    def __init__(self, bound: int, *, drop: bool, report: Callable[[Gap], None]) -> None:
        self._records: deque[Record] = deque()
        self._bound = bound
        self._drop = drop
        self._report = report
        self._dropped_ranges: dict[tuple[str, str, str, str | None], tuple[int, int]] = {}
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._records)

    @property
    def full(self) -> bool:
        return not self._drop and not self._ended and len(self._records) >= self._bound

    def offer(self, record: Record) -> bool:
        """Queue the record; False when the queue is full and the reader has to wait for room."""
        if len(self._records) >= self._bound:
            if not self._drop:
                return self._ended
            self._drop_oldest()
        if not self._ended:
            self._records.append(record)
            self._filled.set()
        return True

    def seed(self, record: Record) -> None:
        """Queue one of the few records that a subscription starts with, whatever the bound."""
        self._records.append(record)
        self._filled.set()

    async def room(self) -> None:
        """Wait until the consumer took something or the subscription ended."""
        while self.full:
            self._room.clear()
            await self._room.wait()

    def end(self, error: Exception | None = None) -> None:
        """No more records: what is queued is still handed out, then the error is raised, if any."""
        if not self._ended:
            self._ended, self._error = True, error
        self._filled.set()
        self._room.set()

    async def take(self, records_max: int) -> list[Record]:
        """At least one and at most `records_max` records; empty when the subscription has ended."""
        while not self._records:
            self._tell_dropped()
            if self._error is not None:
                raise self._error
            if self._ended:
                return []
            self._filled.clear()
            await self._filled.wait()
        self._tell_dropped()
        taken = [self._records.popleft() for _ in range(min(records_max, len(self._records)))]
        self._room.set()
        return taken

    def _drop_oldest(self) -> None:
        oldest = self._records.popleft()
        self.dropped += 1
        key = (oldest.channel, oldest.symbol, oldest.epoch, oldest.job)
        first, last = self._dropped_ranges.get(key, (oldest.n, oldest.n - 1))
        if oldest.n != last + 1:
            self._tell(key, (first, last))
            first = oldest.n
        self._dropped_ranges[key] = (first, oldest.n)

    def _tell_dropped(self) -> None:
        """Ranges are told when the consumer comes back: one gap per run of numbers, not one per record."""
        while self._dropped_ranges:
            key, (first, last) = self._dropped_ranges.popitem()
            self._tell(key, (first, last))

    def _tell(self, key: tuple[str, str, str, str | None], numbers: tuple[int, int]) -> None:
        channel, symbol, epoch, job = key
        self._report(Gap(channel, symbol, epoch, *numbers, "slow", job))
