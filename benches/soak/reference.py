"""Follows the journal single-threaded and says what PARSED must hold; prunes segments that nobody needs any more."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benches.soak.ledger import Ledger
from benches.soak.line_match import Lines
from benches.soak.stand import Known
from feeds.blocks import Block, decode_block
from feeds.capture.raw_stage import RawStage
from feeds.journal import START, JournalReader, Position
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator
from testbed.invariants.parsing import replays_are_identical
from testbed.reference_path import replayed

IDLE_S = 0.05
PRUNE_AGE_S = 180.0  # a publisher may be asked to go back by some seconds; older segments nobody needs
LAG_MAX = 1_000_000  # records the reference may be ahead of PARSED; past it it waits
LAST_BLOCKS = 200
READ_BYTES = 1 << 20


class Reference(threading.Thread):
    """A thread; `stop` lets it read to the journal's end first."""

    def __init__(self, folder: Path, known: Known, *, ledger: Ledger, lock: threading.Lock, lines: Lines) -> None:
        super().__init__(name="reference", daemon=True)
        self.folder, self.known = folder, known
        self.ledger, self.lock, self.lines = ledger, lock, lines
        self.reader = JournalReader(folder)
        self.stage = RawStage(known.feed, "live", publisher="reference")
        counts, tickers = ParserCounts(), dict(known.tickers)
        self.parsers = [
            Pipeline(n, tickers, translator=Translator(), counts=counts) for n in range(known.feed.partitions)
        ]
        self.counts = counts
        self.position = START
        self.entries = 0
        self.failure: BaseException | None = None
        self.last: list[Block] = []
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            while True:
                stopping = self._stopping.is_set()
                if not self._turn() and stopping:
                    self.stage.finish()
                    self._parse()
                    return
        except BaseException as error:
            self.failure = error

    def stop(self) -> None:
        self._stopping.set()
        self.join(120)

    def _turn(self) -> bool:
        if self.ledger.lag > LAG_MAX and not self._stopping.wait(IDLE_S):
            return True
        before = self.position.segment
        blocks, self.position = self.reader.read(self.position, READ_BYTES)
        with self.lock:
            self.lines.take(blocks)
        if not blocks:
            self._stopping.wait(IDLE_S)
            return False
        for block in blocks:
            self.entries += len(block.entries)
            self.stage.push(block)
        self._parse()
        self.last = [*self.last, *blocks][-LAST_BLOCKS:]
        if before and before != self.position.segment:
            self._prune()
        return True

    def _parse(self) -> None:
        for raw in self.stage.drain():
            records = self.parsers[raw.partition].feed(decode_block(raw.body)[0], "live", self.known.feed.name).records
            with self.lock:
                for record in records:
                    self.ledger.expect(record)

    def _prune(self) -> None:
        """Remove segments that we and the publisher have passed: hours of a run fit on a disk."""
        try:
            cursor = Position(*json.loads((self.folder / "publisher.cursor").read_text())["position"])
        except (FileNotFoundError, ValueError):
            return
        kept_from = min(cursor.segment, self.position.segment)
        old = time.time() - PRUNE_AGE_S
        for path in self.folder.glob("*.mdj"):
            if path.name < kept_from and path.stat().st_mtime < old:
                for other in self.folder.glob(f"{path.stem}*"):
                    other.unlink(missing_ok=True)

    def replay_twice(self) -> list[str]:
        """I14, over the last blocks."""
        one, two = (replayed(self.last, self.known.feed) for _ in range(2))
        return replays_are_identical(one, two)


def until(condition: Callable[[], bool], stop: threading.Event, *, timeout_s: float) -> bool:
    """Look twice a second; False when the time is over or `stop` is set."""
    waited = 0.0
    while not condition():
        if waited >= timeout_s or stop.wait(0.5):
            return False
        waited += 0.5
    return True
