"""Journals for tests: entries that can be told apart, written block by block, read back whole."""

from __future__ import annotations

from pathlib import Path

from feeds.blocks import Block, Entry
from feeds.journal import START, JournalReader, JournalWriter, Position

T0_NS = 1_795_140_900_000_000_000  # 2026-11-20 02:15:00 UTC
MS = 1_000_000


def entries(first: int, count: int, *, at_ns: int = T0_NS, size: int = 20) -> list[Entry]:
    """`count` entries whose bytes say their number, one millisecond apart."""
    return [(at_ns + n * MS, n % 2, 0, b"%06d" % n + b"x" * size) for n in range(first, first + count)]


def write(
    folder: Path, blocks: int, *, per_block: int = 3, segment_bytes: int = 1 << 20, size: int = 20
) -> list[Entry]:
    """Blocks numbered from 1 on; returns all entries."""
    writer = JournalWriter(folder, 7, segment_bytes=segment_bytes)
    written: list[Entry] = []
    for n in range(blocks):
        block = entries(n * per_block + 1, per_block, size=size)
        writer.append(block)
        written += block
    writer.close()
    return written


def read_all(
    reader: JournalReader, position: Position = START, bytes_max: int = 1 << 20
) -> tuple[list[Block], Position]:
    """Every block up to the tail."""
    found: list[Block] = []
    while True:
        blocks, position = reader.read(position, bytes_max)
        if not blocks:
            return found, position
        found += blocks


def entries_of(folder: Path, bytes_max: int = 1 << 20) -> list[Entry]:
    """Every entry of a journal, in order."""
    reader = JournalReader(folder)
    blocks, _ = read_all(reader, bytes_max=bytes_max)
    reader.close()
    return [entry for block in blocks for entry in block.entries]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.mdj"))
