"""Damage to a journal: a torn end is cut off, bad bytes in the middle are stepped over and counted, no more is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from feeds.blocks import HEADER
from feeds.journal import START, JournalReader, JournalWriter, Position
from feeds.journal.time_index import index_path
from tests.feeds.journals import MS, T0_NS, entries, entries_of, read_all, segments, write

BLOCK_BYTES = HEADER.size + 3 * (12 + 26)


def reopened(folder: Path) -> tuple[int, int]:
    """(bytes cut off, next capture_seq) of a writer that starts on the damage."""
    writer = JournalWriter(folder, 7)
    writer.append(entries(900, 1))
    writer.close()
    return writer.repaired_bytes, writer.next_seq - 1


@pytest.mark.parametrize("kept", range(1, 2 * BLOCK_BYTES))
def test_torn_at_every_byte_of_the_last_blocks(tmp_path: Path, kept: int) -> None:
    written = write(tmp_path, 4)
    path = segments(tmp_path)[0]
    whole = path.read_bytes()
    assert len(whole) == 4 * BLOCK_BYTES
    path.write_bytes(whole[: 2 * BLOCK_BYTES + kept])
    good = 2 + kept // BLOCK_BYTES
    assert reopened(tmp_path) == (kept % BLOCK_BYTES, good * 3 + 1)
    assert entries_of(tmp_path) == [*written[: good * 3], *entries(900, 1)]


@pytest.mark.parametrize("zeroed", [1, 12, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 7, 4 * BLOCK_BYTES])
def test_zeroed_tail(tmp_path: Path, zeroed: int) -> None:
    """What a power loss leaves on some file systems: the length is there, the bytes are not."""
    written = write(tmp_path, 4)
    path = segments(tmp_path)[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-zeroed] + bytes(zeroed))
    good = (len(whole) - zeroed) // BLOCK_BYTES
    assert reopened(tmp_path) == (len(whole) - good * BLOCK_BYTES, good * 3 + 1)
    assert entries_of(tmp_path) == [*written[: good * 3], *entries(900, 1)]


@pytest.mark.parametrize("at", [0, 3, 5, 9, 13, 25, 30, HEADER.size, HEADER.size + 11, BLOCK_BYTES - 1])
@pytest.mark.parametrize("bytes_max", [100, 1 << 20])
def test_bit_flip_in_the_middle(tmp_path: Path, at: int, bytes_max: int) -> None:
    """F16: that block is skipped and counted, its neighbours are read."""
    written = write(tmp_path, 5)
    path = segments(tmp_path)[0]
    damaged = bytearray(path.read_bytes())
    damaged[2 * BLOCK_BYTES + at] ^= 0x10
    path.write_bytes(damaged)
    reader = JournalReader(tmp_path)
    blocks, position = read_all(reader, bytes_max=bytes_max)
    assert [e for b in blocks for e in b.entries] == [*written[:6], *written[9:]]
    assert (reader.bad_bytes, position.offset) == (BLOCK_BYTES, 5 * BLOCK_BYTES)


@pytest.mark.parametrize("at", [0, 3, 13, 25, 27, HEADER.size, BLOCK_BYTES - 1])
def test_a_restart_keeps_what_follows_a_bit_flip(tmp_path: Path, at: int) -> None:
    """A block in the middle is never truncated, not even when its damaged length makes it look torn."""
    written = write(tmp_path, 5)
    path = segments(tmp_path)[0]
    damaged = bytearray(path.read_bytes())
    damaged[2 * BLOCK_BYTES + at] ^= 0x10
    path.write_bytes(damaged)
    assert reopened(tmp_path) == (0, 16)
    assert entries_of(tmp_path) == [*written[:6], *written[9:], *entries(900, 1)]


def test_a_bad_end_of_an_older_segment_is_stepped_over(tmp_path: Path) -> None:
    written = write(tmp_path, 6, segment_bytes=2 * BLOCK_BYTES)
    first = segments(tmp_path)[0]
    first.write_bytes(first.read_bytes()[:-5])
    reader = JournalReader(tmp_path)
    blocks, _ = read_all(reader)
    assert [e for b in blocks for e in b.entries] == [*written[:3], *written[6:]]
    assert reader.bad_bytes == BLOCK_BYTES - 5
    assert reopened(tmp_path)[0] == 0
    assert first.stat().st_size == 2 * BLOCK_BYTES - 5  # never cut off: only the last segment is repaired


def test_a_writer_that_dies_before_its_first_block(tmp_path: Path) -> None:
    written = write(tmp_path, 2)
    (tmp_path / "20261120-0002.mdj").touch()
    assert reopened(tmp_path) == (0, 7)
    assert entries_of(tmp_path) == [*written, *entries(900, 1)]


def test_a_segment_deleted_under_its_reader(tmp_path: Path) -> None:
    """F17: what is open is read to its end; what is gone is stepped over and counted."""
    written = write(tmp_path, 8, segment_bytes=2 * BLOCK_BYTES)
    reader = JournalReader(tmp_path)
    blocks, position = reader.read(START, BLOCK_BYTES)
    one, two, *_ = segments(tmp_path)
    one.unlink()
    two.unlink()
    rest, position = read_all(reader, position)
    assert [e for b in [*blocks, *rest] for e in b.entries] == [*written[:6], *written[12:]]
    assert reader.segments_missing == 0  # it stepped from one to the next there is
    late = JournalReader(tmp_path)
    assert read_all(late, Position(two.name, 0))[0] == rest[1:]
    assert late.segments_missing == 1


@pytest.mark.parametrize("damage", [None, b"", b"x" * 7, b"\xff" * 32, bytes(16) + b"\x01" * 16])
def test_the_time_index_is_a_cache(tmp_path: Path, damage: bytes | None) -> None:
    writer = JournalWriter(tmp_path, 7)
    for second in range(30):
        writer.append([(T0_NS + second * 1_000 * MS, 0, 0, b"x" * 60_000)] * 4)
    writer.close()
    wanted = T0_NS + 25_000 * MS
    sound = JournalReader(tmp_path).seek_time(wanted)
    path = index_path(segments(tmp_path)[0])
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert sound.offset > 0
    assert JournalReader(tmp_path).seek_time(wanted) == sound
