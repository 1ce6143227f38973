"""Reads one stream's records out of a journal: the replay's stage and the parser's pipeline, in this process.

A page reads from one second before its start (so that arbitration knows what came before) to a margin behind its last
row, because what was received at nearly the same time may stand in any order. It is bounded in rows and in bytes of
journal; what is left is for the next page, from the receive time where this one ends.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from feeds.blocks import decode_block
from feeds.capture.raw_stage import RawMessage, RawStage
from feeds.config import FeedConfig
from feeds.journal import JournalReader
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator
from feeds.partitions import PartitionTable
from subscriptions.gateway.heads import HEAD

CHUNK_BYTES = 256 * 1024
SCAN_BYTES_MAX = 96 << 20  # of journal a page reads from its start on; past it: a short page with a cursor
MARGIN_NS = 1_000_000_000
PARTITIONS = 64  # only the symbol's is parsed: a 64th of the feed
PAUSE_S = 0.000_2  # between chunks: other threads of this process get their turn
AT_ONCE_MAX = 2  # pages read at the same time in this process; past it the caller is told to come back

_ORIGIN = "history"
_NUMBER = re.compile(rb',"n":[0-9]+')
_JOB = b',"job":"history"'
_slots = threading.BoundedSemaphore(AT_ONCE_MAX)


class Busy(Exception):
    """As many pages as may be are being read."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One stream of one instrument, received in [from_ns, to_ns); `skip` rows at exactly `from_ns` were given."""

    channel: str
    symbol: str
    isin: str
    from_ns: int
    to_ns: int
    rows_max: int
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Rows by receive time. `next`: where the following page starts and what it skips; None at the end."""

    rows: list[tuple[int, bytes]]
    next: tuple[int, int] | None


def read_page(folder: Path, feed: FeedConfig, wanted: Wanted) -> Page:
    """One page of a stream. The lines have neither `n` (a number of the live stream only) nor `job`. Raises Busy."""
    if not _slots.acquire(blocking=False):
        raise Busy("as many histories as may be are being read")
    try:
        reader = JournalReader(folder)
        try:
            return _Scan(reader, replace(feed, partitions=PARTITIONS), wanted).page()
        finally:
            reader.close()
    finally:
        _slots.release()


class _Scan:
    def __init__(self, reader: JournalReader, feed: FeedConfig, wanted: Wanted) -> None:
        self._reader, self._wanted = reader, wanted
        self._feed = feed.name
        self._margin_ns = MARGIN_NS + feed.gap_wait_ns_max
        self._stage = RawStage(feed, origin=_ORIGIN)
        self._partition = PartitionTable(feed.partitions)[wanted.isin.encode()]
        tickers = {wanted.isin: wanted.symbol}
        self._pipeline = Pipeline(self._partition, tickers, translator=Translator(), counts=ParserCounts())
        self._needle = b"\x0155=%b\x01" % wanted.isin.encode()
        self._channel, self._symbol = wanted.channel.encode(), wanted.symbol.encode()
        self._rows: list[tuple[int, bytes]] = []
        self._seen_ns = 0  # the newest receive time read
        self._scanned = 0

    def page(self) -> Page:
        wanted = self._wanted
        ended = self._read_until_enough()
        self._rows.sort(key=lambda row: row[0])
        rows = self._rows[wanted.skip :] if wanted.skip else self._rows
        if len(rows) > wanted.rows_max:
            return self._cut(rows[: wanted.rows_max])
        if ended:
            return Page(rows, None)
        # Short of rows: everything before the margin is known.
        floor_ns = max(self._seen_ns - self._margin_ns, wanted.from_ns + 1)
        rows = [row for row in rows if row[0] < floor_ns]
        return Page(rows, (floor_ns, 0))

    def _cut(self, rows: list[tuple[int, bytes]]) -> Page:
        last_ns = rows[-1][0]
        given = sum(1 for rx_ns, _ in rows if rx_ns == last_ns)
        if last_ns == self._wanted.from_ns:
            given += self._wanted.skip
        return Page(rows, (last_ns, given))

    def _read_until_enough(self) -> bool:
        """True: the range, or the journal, has ended. False: there are rows enough, or enough was read."""
        wanted = self._wanted
        position = self._reader.seek_time(max(0, wanted.from_ns - MARGIN_NS))
        while True:
            blocks, after = self._reader.read(position, CHUNK_BYTES)
            if after == position:
                self._stage.finish()
                self._take(self._stage.drain())
                return True
            position = after
            for block in blocks:
                self._stage.push(block)
                if block.entries:
                    self._seen_ns = max(self._seen_ns, block.entries[-1][0])
            self._take(self._stage.drain())
            if self._seen_ns >= wanted.to_ns + self._margin_ns:
                return True
            if self._seen_ns >= wanted.from_ns:
                self._scanned += CHUNK_BYTES
            got_on = self._seen_ns > wanted.from_ns + 2 * self._margin_ns
            if self._enough() or (got_on and self._scanned >= SCAN_BYTES_MAX):
                return False
            time.sleep(PAUSE_S)

    def _enough(self) -> bool:
        """One row more than asked for, and far enough behind it that none can come before it any more."""
        count = self._wanted.rows_max + self._wanted.skip + 1
        if len(self._rows) < count:
            return False
        self._rows.sort(key=lambda row: row[0])
        return self._seen_ns >= self._rows[count - 1][0] + self._margin_ns

    def _take(self, messages: list[RawMessage]) -> None:
        for message in messages:
            if message.partition != self._partition:
                continue
            block, _ = decode_block(message.body)
            mine = [entry for entry in block.entries if entry[2] or self._needle in entry[3]]
            if mine:
                parsed = self._pipeline.feed(block._replace(entries=mine), _ORIGIN, self._feed)
                self._rows.extend(self._wanted_rows(parsed.records))

    def _wanted_rows(self, records: list[str]) -> Iterator[tuple[int, bytes]]:
        for record in records:
            line = record.encode()
            head = HEAD.match(line)
            if head is None or head[2] != self._channel or head[3] != self._symbol:
                continue
            at = line.index(b'"rx":') + 5
            rx_ns = int(line[at : line.index(b",", at)])
            if self._wanted.from_ns <= rx_ns < self._wanted.to_ns:
                yield rx_ns, _NUMBER.sub(b"", line, count=1).replace(_JOB, b"", 1)
