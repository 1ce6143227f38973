"""What a range of a journal holds, estimated before anyone replays it: bytes from the index, messages from a sample."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from feeds.blocks import ENTRY
from feeds.journal import JournalReader, Position
from feeds.journal.reader import SEEK_MARGIN_NS
from feeds.journal.time_index import STEP_BYTES

SAMPLE_BYTES_MAX = 2 * 1024 * 1024  # read at most this much; beyond it, scale up
_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Estimate:
    """`datagrams` counts both lines; `messages` is what arbitration leaves of them. Exact when `sampled` is False."""

    bytes: int
    datagrams: int
    messages: int
    sampled: bool


def estimate(folder: Path, *, from_ns: int, to_ns: int) -> Estimate:
    """Estimate the range [from_ns, to_ns) of the journal in `folder`. An absent journal is an empty one."""
    reader = JournalReader(folder)
    try:
        return _estimate(reader, from_ns=from_ns, to_ns=to_ns)
    finally:
        reader.close()


def _estimate(reader: JournalReader, *, from_ns: int, to_ns: int) -> Estimate:
    position, end = reader.seek_time(from_ns), reader.seek_time(to_ns + SEEK_MARGIN_NS)
    end = end._replace(offset=end.offset + STEP_BYTES // 2)  # the index knows every MiB: half of it is in, on average
    lines: Counter[int] = Counter()
    size = read = 0
    start = position
    while read < SAMPLE_BYTES_MAX:
        blocks, after = reader.read(position, _READ_BYTES)
        if after == position:
            break
        position = after
        inside = [entry for block in blocks for entry in block.entries if from_ns <= entry[0] < to_ns]
        size += sum(ENTRY.size + len(entry[3]) for entry in inside)
        lines.update(entry[1] for entry in inside)
        if not lines:
            start = position  # the margin before the range tells nothing about it
        elif not inside:
            break
        if blocks and blocks[0].entries and blocks[0].entries[0][0] >= to_ns:
            break
        read = bytes_between(reader.folder, start, position)
    datagrams, messages = sum(lines.values()), max(lines.values(), default=0)
    rest = bytes_between(reader.folder, position, end) if read >= SAMPLE_BYTES_MAX else 0
    scale = 1 + rest / read if rest else 1.0
    return Estimate(round(size * scale), round(datagrams * scale), round(messages * scale), sampled=rest > 0)


def bytes_between(folder: Path, start: Position, end: Position) -> int:
    """The bytes of the journal's segments from position `start` to position `end`."""
    (start_name, start_offset), (end_name, end_offset) = start, end
    if (end_name, end_offset) <= (start_name, start_offset):
        return 0
    if start_name == end_name:
        return end_offset - start_offset
    between = sum(path.stat().st_size for path in folder.glob("*.mdj") if start_name <= path.name < end_name)
    return max(0, between - start_offset + end_offset)
