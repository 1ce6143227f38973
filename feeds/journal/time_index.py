"""The time index of a segment: (rx_ns, offset) about every MiB, a cache that is rebuilt when it is missing or bad."""

from __future__ import annotations

import os
import struct
from itertools import pairwise
from pathlib import Path

from feeds.blocks import ENTRY, HEADER, BlockError, block_length

POINT = struct.Struct("<QQ")
STEP_BYTES = 1 << 20
SUFFIX = ".idx"
Point = tuple[int, int]


def index_path(segment: Path) -> Path:
    return segment.with_suffix(SUFFIX)


def append_point(segment: Path, rx_ns: int, offset: int) -> None:
    """Note that the block at `offset` begins at `rx_ns`."""
    with index_path(segment).open("ab") as file:
        file.write(POINT.pack(rx_ns, offset))


def read_index(segment: Path) -> list[Point]:
    """The points of `segment` in order; from the cache when it is sound, else from the segment itself."""
    try:
        raw = index_path(segment).read_bytes()
    except FileNotFoundError:
        return build_index(segment)
    if not raw or len(raw) % POINT.size:
        return build_index(segment)
    points = [(int(rx_ns), int(offset)) for rx_ns, offset in POINT.iter_unpack(raw)]
    size = segment.stat().st_size if segment.exists() else 0
    sound = points[0][1] == 0 and all(a <= b for (_, a), (_, b) in pairwise(points))
    return points if sound and points[-1][1] < max(size, 1) else build_index(segment)


def build_index(segment: Path) -> list[Point]:
    """Walk the headers of `segment` (no payload is decoded); stops at the first bad one."""
    points: list[Point] = []
    try:
        fd = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return points
    try:
        offset, due = 0, 0
        while True:
            head = os.pread(fd, HEADER.size + ENTRY.size, offset)
            try:
                size = block_length(head)
            except BlockError:
                return points
            if offset >= due and len(head) == HEADER.size + ENTRY.size:
                points.append((int(ENTRY.unpack_from(head, HEADER.size)[0]), offset))
                due = offset + STEP_BYTES
            offset += size
    finally:
        os.close(fd)
