"""The data path without I/O: datagrams in, records and dead letters out, through RawStage and one Pipeline a
partition."""

from __future__ import annotations

import re
from collections.abc import Iterable

from feeds.blocks import Block, Entry, decode_block
from feeds.capture.raw_stage import RawMessage, RawStage
from feeds.config import FeedConfig, LineConfig
from feeds.parser.counts import ParserCounts
from feeds.parser.dead_letter import DeadLetter
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator

A, B = 0, 1
_LATE_START = re.compile(r'"event":"late_start"|"cause":"late_start"')
EPOCH = 2026112001
T0_NS = 1_795_140_900_000_000_000  # 2026-11-20 02:15:00 UTC
MS = 1_000_000


def feed_config(*, partitions: int = 4, **changes: int) -> FeedConfig:
    lines = (LineConfig("A", "127.0.0.1", 9001), LineConfig("B", "127.0.0.1", 9002))
    markets = ("STO", "STX", "DVX")
    return FeedConfig(id=7, name="KRX", exchange="HOSE", markets=markets, lines=lines, partitions=partitions, **changes)


class DataPath:
    """One feed's RawStage and its parsers. Time goes on by one millisecond with each datagram."""

    def __init__(self, *, partitions: int = 4, origin: str = "live", **changes: int) -> None:
        self.stage = RawStage(feed_config(partitions=partitions, **changes), origin, publisher="p1")
        self.counts = ParserCounts()
        self.tickers: dict[str, str] = {}
        self.translator = Translator()
        self.pipelines = [
            Pipeline(n, self.tickers, translator=self.translator, counts=self.counts) for n in range(partitions)
        ]
        self.raw: list[RawMessage] = []
        self.records: list[str] = []
        self.starts: list[str] = []  # what is said of streams that begin above 1, as those of most tests do
        self.dead: list[DeadLetter] = []
        self.now_ns = T0_NS
        self.capture_seq = 1
        self.epoch = EPOCH

    def arrive(self, *datagrams: bytes, line: int = A, flags: int = 0) -> None:
        """Each datagram is a journal block of its own."""
        for data in datagrams:
            self.now_ns += MS
            self.entries([(self.now_ns, line, flags, data)])

    def entries(self, entries: Iterable[Entry]) -> None:
        """One journal block of these entries."""
        block = Block(7, self.epoch, self.capture_seq, list(entries))
        self.capture_seq += len(block.entries)
        self.stage.push(block)

    def on_both(self, *datagrams: bytes) -> None:
        """Each datagram on A, then the same on B."""
        for data in datagrams:
            self.arrive(data, line=A)
            self.arrive(data, line=B)

    def parse(self) -> list[str]:
        """Parse what was released since; the records of it."""
        before = len(self.records)
        for raw in self.stage.drain():
            self.raw.append(raw)
            block, _ = decode_block(raw.body)
            parsed = self.pipelines[raw.partition].feed(block, str(raw.headers["origin"]), "KRX")
            for record in parsed.records:
                (self.starts if _LATE_START.search(record) else self.records).append(record)
            self.dead += parsed.dead
        return self.records[before:]

    def finish(self) -> list[str]:
        """Nothing more comes: declare what is open and parse the rest."""
        self.stage.finish()
        return self.parse()

    def dead_reasons(self) -> list[tuple[str, int]]:
        """(reason, offset) of every dead letter."""
        return [(letter.reason, letter.offset) for letter in self.dead]
