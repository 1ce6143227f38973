"""F15 to F17: a zeroed end, a flipped bit in an old segment, segments rotated and removed under the publisher.

What the damage took is a loss like any other: it is announced as exactly those numbers, and nothing else is missing.
"""

from __future__ import annotations

import time
from pathlib import Path

from feeds.blocks import Block, encode_block
from testbed.evidence import Evidence, published_gaps, violations
from testbed.in_process import InProcessPath, blocks_in
from testbed.invariants.arbitration import numbers_of
from testbed.invariants.identity import Identity, identity_of
from tests.faults.conftest import records

SMALL_BYTES = 40_000  # a segment of about 40 blocks


def one_moment(path: InProcessPath) -> None:
    """The exchange's clock stands still, so it sends no W: they are a stream of their own and would pass older books
    that wait behind a hole."""
    now_ns = time.time_ns()
    path.exchange_clock = lambda: now_ns


def size_of(block: Block) -> int:
    return len(encode_block(block.entries, feed_id=block.feed_id, epoch=block.epoch, first_seq=block.first_seq))


def missing(found: Evidence) -> set[tuple[str, str, int]]:
    """The numbers that clients were told of."""
    return {(*stream, n) for stream, numbers in published_gaps(records(found)).items() for n in numbers}


def announced(blocks: list[Block], found: Evidence) -> set[tuple[str, str, int]]:
    """The numbers in these blocks that others of their stream stand before and after: a hole is between two."""
    kept = numbers_of(identities([entry[3] for entry in found.journal]))
    gone = numbers_of(identities([data for block in blocks for *_, data in block.entries]))
    return {
        (*stream, n)
        for stream, numbers in gone.items()
        for n in numbers
        if stream in kept and min(kept[stream]) < n < max(kept[stream])
    }


def identities(messages: list[bytes]) -> list[Identity]:
    return [found for data in messages if (found := identity_of(data)) is not None]


async def test_f15_zeroed_end(tmp_path: Path, seed: int) -> None:
    """A power loss left zeros where the last blocks were; the next capture cuts them off and goes on behind."""
    async with InProcessPath(tmp_path / "run", seed=seed) as path:
        one_moment(path)
        path.write(path.make(300))
        path.close_journal()
        path.write(path.make(40))
        path.close_journal()
        last = path.segments()[-1]
        blocks = blocks_in(last)
        zeroed = sum(map(size_of, blocks[25:])) + 11  # into the 25th block
        last.write_bytes(last.read_bytes()[:-zeroed] + bytes(zeroed))
        path.nobody_has(blocks[24:])
        path.start("publisher", "parser")
        path.write(path.make(300))
        found = await path.settle()
    assert violations(path, found) == []
    assert missing(found) == announced(blocks[24:], found) != set()
    assert last.stat().st_size == sum(map(size_of, blocks[:24]))


async def test_f16_bit_flip_in_an_old_segment(tmp_path: Path, seed: int) -> None:
    async with InProcessPath(tmp_path / "run", seed=seed, segment_bytes=SMALL_BYTES) as path:
        one_moment(path)
        path.write(path.make(300))
        old = path.segments()[-3]
        blocks = blocks_in(old)
        at = sum(map(size_of, blocks[:5]))
        damaged = bytearray(old.read_bytes())
        damaged[at + size_of(blocks[5]) - 9] ^= 0x04
        old.write_bytes(damaged)
        path.nobody_has(blocks[5:6])
        path.start("publisher", "parser")
        path.write(path.make(300))
        found = await path.settle()
    assert violations(path, found) == []
    assert missing(found) == announced(blocks[5:6], found)
    assert found.publisher["bad_bytes"] == size_of(blocks[5])


async def test_f17_rotated_and_removed_under_the_publisher(tmp_path: Path, seed: int) -> None:
    """It reads what it has open to its end, steps over what is gone, and says what that was."""
    async with InProcessPath(tmp_path / "run", seed=seed, segment_bytes=SMALL_BYTES) as path:
        one_moment(path)
        path.start("publisher", "parser")
        path.write(path.make(300))
        await path.until(path.at_tail, "all of it is read")
        opened = path.segments()[-1]
        path.write(path.make(150))  # the publisher does not get its turn until the next `await`
        gone = path.segments()[path.segments().index(opened) + 1]
        blocks = blocks_in(gone)
        path.remove(gone, read=False)
        path.remove(opened, read=True)
        path.remove(path.segments()[0], read=True)
        path.write(path.make(300))
        found = await path.settle()
    assert violations(path, found) == []
    assert missing(found) == announced(blocks, found) != set()
