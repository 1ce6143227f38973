"""What is appended is read back: rotation, following the tail, numbering over restarts, one writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from feeds.blocks import FLAG_TRUNCATED, Entry
from feeds.journal import START, JournalReader, JournalWriter, Position
from feeds.journal.writer import JournalLocked
from tests.feeds.journals import MS, T0_NS, entries, entries_of, read_all, segments, write

DAY_NS = 86_400_000_000_000
LOCAL_MIDNIGHT_NS = T0_NS - (2 * 3_600 + 15 * 60) * 1_000_000_000 + 17 * 3_600 * 1_000_000_000  # 17:00 UTC


@pytest.mark.parametrize("bytes_max", [64, 300, 4_096, 1 << 20])
def test_round_trip(tmp_path: Path, bytes_max: int) -> None:
    """I3, whatever the reader's buffer: a block larger than it is read too."""
    written = write(tmp_path, 40)
    assert entries_of(tmp_path, bytes_max) == written


def test_every_kind_of_entry(tmp_path: Path) -> None:
    odd: list[Entry] = [
        (0, 0, 0, b""),
        ((1 << 64) - 1, 1, FLAG_TRUNCATED, bytes(range(256)) * 255),
        (5, 255, 255, b"MDB1" * 9),
    ]
    writer = JournalWriter(tmp_path, 7)
    writer.append(entries(1, 1))
    writer.append(odd)
    writer.close()
    assert entries_of(tmp_path) == [*entries(1, 1), *odd]


def test_blocks_say_feed_epoch_and_number(tmp_path: Path) -> None:
    write(tmp_path, 2)
    blocks, _ = read_all(JournalReader(tmp_path))
    assert [(b.feed_id, b.epoch, b.first_seq, len(b.entries)) for b in blocks] == [
        (7, 2026112001, 1, 3),
        (7, 2026112001, 4, 3),
    ]


def test_rotation_by_size(tmp_path: Path) -> None:
    written = write(tmp_path, 12, segment_bytes=300)
    names = [path.name for path in segments(tmp_path)]
    assert names == [f"20261120-{n:04d}.mdj" for n in range(1, 5)]
    assert entries_of(tmp_path) == written


def test_rotation_at_local_midnight(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, 7)
    last, first = LOCAL_MIDNIGHT_NS - 1, LOCAL_MIDNIGHT_NS
    for at in (last, first, first + 1):
        writer.append([(at, 0, 0, b"x")])
    writer.close()
    blocks, _ = read_all(JournalReader(tmp_path))
    assert [path.name for path in segments(tmp_path)] == ["20261120-0001.mdj", "20261121-0001.mdj"]
    assert [(b.epoch, b.first_seq) for b in blocks] == [(2026112001, 1), (2026112101, 2), (2026112101, 3)]


def test_a_clock_that_went_back_sorts_no_segment_earlier(tmp_path: Path) -> None:
    for at in (T0_NS + DAY_NS, T0_NS):
        writer = JournalWriter(tmp_path, 7)
        writer.append([(at, 0, 0, b"%d" % at)])
        writer.close()
    assert [path.name for path in segments(tmp_path)] == ["20261121-0001.mdj", "20261121-0002.mdj"]
    assert [data for _, _, _, data in entries_of(tmp_path)] == [b"%d" % (T0_NS + DAY_NS), b"%d" % T0_NS]


def test_capture_seq_goes_on_after_a_restart(tmp_path: Path) -> None:
    write(tmp_path, 3)
    writer = JournalWriter(tmp_path, 7)
    assert writer.next_seq == 10
    writer.append(entries(10, 2))
    writer.close()
    blocks, _ = read_all(JournalReader(tmp_path))
    assert [b.first_seq for b in blocks] == [1, 4, 7, 10]


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, 7)
    with pytest.raises(JournalLocked, match="another capture"):
        JournalWriter(tmp_path, 7)
    writer.close()
    JournalWriter(tmp_path, 7).close()


def test_a_reader_follows_the_tail(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, 7, segment_bytes=200)
    reader, position = JournalReader(tmp_path), START
    assert reader.read(position) == ([], START)
    for n in range(1, 30):
        writer.append(entries(n, 1))
        blocks, position = reader.read(position)
        assert [block.first_seq for block in blocks] == [n]
        assert reader.read(position)[0] == []
    writer.close()
    assert len(segments(tmp_path)) > 3
    assert position == reader.tail()


def test_a_block_being_written_is_waited_for(tmp_path: Path) -> None:
    """The reader may look at any moment of a write: it sees the block whole or not yet."""
    write(tmp_path, 1)
    path = segments(tmp_path)[0]
    block = path.read_bytes()
    reader = JournalReader(tmp_path)
    _, position = reader.read(START)
    for size in range(len(block)):
        path.write_bytes(block + block[:size])
        assert reader.read(position) == ([], position)
    path.write_bytes(block + block)
    assert len(reader.read(position)[0]) == 1
    assert reader.bad_bytes == 0


def test_a_missing_folder_reads_as_empty(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path / "none")
    assert (reader.read(START), reader.tail(), reader.seek_time(T0_NS)) == (([], START), START, START)


def test_seek_time(tmp_path: Path) -> None:
    """A position at or before the wanted time, at most a block and the margin of a second away."""
    writer = JournalWriter(tmp_path, 7, segment_bytes=3 << 20)
    for second in range(60):
        writer.append([(T0_NS + second * 1_000 * MS, 0, 0, b"%d" % second + b"x" * 60_000)] * 4)
    writer.close()
    reader = JournalReader(tmp_path)
    for second in (0, 1, 5, 17, 30, 59):
        wanted = T0_NS + second * 1_000 * MS
        position = reader.seek_time(wanted)
        times = [entry[0] for block in read_all(reader, position)[0] for entry in block.entries]
        assert times[0] <= wanted
        assert times[0] >= wanted - 8_000 * MS  # the index has a point about every MiB
        assert times[-1] == T0_NS + 59_000 * MS
    assert reader.seek_time(T0_NS - DAY_NS) == START
    assert isinstance(reader.seek_time(T0_NS + DAY_NS), Position)
