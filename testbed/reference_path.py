"""The data path single-threaded and without I/O: the reference that a run's end state and a replay are held against."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from feeds.blocks import Block, Entry, decode_block
from feeds.capture.raw_stage import RawStage
from feeds.config import FeedConfig
from feeds.journal import START, JournalReader
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator

BLOCK_ENTRIES = 256


def journal_blocks(folder: Path) -> list[Block]:
    """Every block of a journal, in order."""
    reader, position = JournalReader(folder), START
    found: list[Block] = []
    while True:
        blocks, position = reader.read(position)
        if not blocks:
            reader.close()
            return found
        found += blocks


def records_of(eras: Iterable[tuple[int, Iterable[Entry]]], feed: FeedConfig) -> list[str]:
    """The records of messages that are unique and in order, by one parser; an epoch after the other."""
    pipeline = Pipeline(0, {}, translator=Translator(), counts=ParserCounts())
    records: list[str] = []
    for epoch, entries in eras:
        rows = list(entries)
        for at in range(0, len(rows), BLOCK_ENTRIES):
            block = Block(feed.id, epoch, at + 1, rows[at : at + BLOCK_ENTRIES])
            records += pipeline.feed(block, "live", feed.name).records
    return records


def raw_of(blocks: Iterable[Block], feed: FeedConfig) -> list[Block]:
    """What a publisher that was never disturbed makes of a whole journal."""
    stage = RawStage(feed, "live", publisher="r")
    for block in blocks:
        stage.push(block)
    stage.finish()
    return [decode_block(raw.body)[0] for raw in stage.drain()]


def replayed(blocks: Iterable[Block], feed: FeedConfig) -> list[tuple[int, bytes]]:
    """(partition, PARSED body) of a replay of a whole journal."""
    stage = RawStage(feed, "replay:1", publisher="r")
    parsers = [Pipeline(n, {}, translator=Translator(), counts=ParserCounts()) for n in range(feed.partitions)]
    for block in blocks:
        stage.push(block)
    stage.finish()
    bodies: list[tuple[int, bytes]] = []
    for raw in [*stage.drain(), *stage.end()]:
        records = parsers[raw.partition].feed(decode_block(raw.body)[0], "replay:1", feed.name).records
        bodies.append((raw.partition, "\n".join(records).encode()))
    return bodies
