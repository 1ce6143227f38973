"""A journal of a simulated STO session, and what a whole parser makes of it: the reference for histories."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from feeds.blocks import decode_block
from feeds.capture.raw_stage import RawStage
from feeds.config import FeedConfig, LineConfig
from feeds.journal import JournalReader, JournalWriter, Position
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator
from feeds.simulator.exchange import Exchange

NS = 1_000_000_000
START = datetime(2026, 11, 20, 2, 15, tzinfo=UTC)
START_NS = int(START.timestamp()) * NS
STEP_NS = 20_000_000
STEPS = 9_000  # three minutes
PER_STEP = 2


def simulated() -> Exchange:
    return Exchange({"STO": ("STO",)}, symbols=6, seed=11)


def write(folder: Path, feed_id: int) -> None:
    """Both lines, B a millisecond later, every 40th message on B only."""
    exchange = simulated()
    writer = JournalWriter(folder, feed_id)
    entries, count = [], 0
    for step in range(STEPS):
        now_ns = START_NS + step * STEP_NS
        exchange.set_time(now_ns, 9 * 3600 + 15 * 60 + step * STEP_NS / NS)
        for message in exchange.take(PER_STEP):
            count += 1
            if count % 40:
                entries.append((now_ns, 0, 0, message.data))
            entries.append((now_ns + 1_000_000, 1, 0, message.data))
        if len(entries) >= 50:
            writer.append(sorted(entries, key=lambda entry: entry[0]))
            entries = []
    writer.append(entries)
    writer.close()


def config(feed_id: int) -> FeedConfig:
    return FeedConfig(
        id=feed_id,
        name="STO",
        exchange="KRX",
        markets=("STO",),
        lines=(LineConfig("A", "239.255.1.1", 9001), LineConfig("B", "239.255.1.1", 9002)),
        partitions=1,
    )


def parsed(folder: Path, feed_id: int) -> list[dict[str, object]]:
    """Every record of the journal in the order in which live would have sent them."""
    tickers = {one.isin: one.listing.ticker for market in simulated().markets for one in market.securities}
    stage = RawStage(config(feed_id))
    pipeline = Pipeline(0, tickers, translator=Translator(), counts=ParserCounts())
    reader, position, found = JournalReader(folder), Position("", 0), []
    while True:
        blocks, after = reader.read(position)
        for block in blocks:
            stage.push(block)
        if after == position:
            stage.finish()
        for message in stage.drain():
            records = pipeline.feed(decode_block(message.body)[0], "live", "STO").records
            found += [json.loads(record) for record in records]
        if after == position:
            reader.close()
            return found
        position = after
