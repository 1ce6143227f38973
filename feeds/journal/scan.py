"""Walks the blocks of one segment's bytes: where each begins, what is bad, where the good part ends."""

from __future__ import annotations

from typing import NamedTuple

from feeds.blocks import MAGIC, BadBlock, Block, TornBlock, decode_block


class Scan(NamedTuple):
    """What a walk found: the blocks, the offset where it ended, how many bytes were skipped, and the offset behind the
    last good block."""

    blocks: list[Block]
    end: int
    bad_bytes: int
    good_end: int


def scan(buffer: bytes, *, final: bool) -> Scan:
    """Decode the blocks of `buffer`.

    A bad block followed by a good one is skipped and counted. A bad or torn end is left alone (`end` is before it)
    unless `final` says that nothing will ever follow; then the bytes are counted as bad and `end` is behind them.
    """
    blocks: list[Block] = []
    at = bad = good_end = 0
    size = len(buffer)
    while at < size:
        try:
            block, at = decode_block(buffer, at)
            blocks.append(block)
            good_end = at
            continue
        except TornBlock:
            if not final:
                break
        except BadBlock:
            pass
        good = next_good(buffer, at + 1)
        if good is None:
            if final:
                bad += size - at
                at = size
            break
        bad += good - at
        at = good
    return Scan(blocks, at, bad, good_end)


def next_good(buffer: bytes, start: int) -> int | None:
    """The next offset at or after `start` where a whole valid block begins."""
    at = buffer.find(MAGIC, start)
    while at >= 0:
        try:
            decode_block(buffer, at)
        except (TornBlock, BadBlock):
            at = buffer.find(MAGIC, at + 1)
        else:
            return at
    return None
