"""Frames raw datagrams in blocks: one format on disk (journal) and on the wire (RAW).

A block is a 32-byte header and its entries::

    magic 4s, version u16, feed u16, epoch u32, first capture_seq u64, count u32, payload length u32, crc32 u32
    entry: rx_ns u64, line u8, flags u8, length u16, bytes

The CRC covers the first 28 bytes of the header and the payload, so a torn or zeroed block can never pass.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

MAGIC = b"MDB1"
VERSION = 1
HEADER = struct.Struct("<4sHHIQIII")
HEAD = struct.Struct("<4sHHIQII")  # the header without its CRC
ENTRY = struct.Struct("<QBBH")
CRC = struct.Struct("<I")

LINE_A, LINE_B = 0, 1

# Flags of an entry. In the journal every entry is FLAG_MESSAGE (or FLAG_TRUNCATED); the others are made by the
# publisher and exist on RAW only.
FLAG_MESSAGE = 0  # on RAW: one whole message, its frame and checksum were right at arbitration
FLAG_UNFRAMED = 1  # bytes that are no well-framed message: the parser says why (dead letter)
FLAG_GAP = 2  # JSON: a range that neither line brought
FLAG_STATE = 4  # JSON: a change of the feed's state
FLAG_END = 8  # JSON: the end of a replay
FLAG_MARK = 32  # JSON: how far a publisher of a hot-hot pair has released each stream
FLAG_TRUNCATED = 16  # the datagram was larger than the receive buffer (MSG_TRUNC)
FLAG_OVERTAKEN = 64  # JSON `[market, stream, number]`: that snapshot, which follows, is older than what went out before

Entry = tuple[int, int, int, bytes]


class Block(NamedTuple):
    """One decoded block; `entries` are (rx_ns, line, flags, bytes)."""

    feed_id: int
    epoch: int
    first_seq: int
    entries: list[Entry]


class BlockError(ValueError):
    """A block that cannot be used; `offset` is where it begins."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"block at byte {offset}: {reason}")
        self.offset = offset
        self.reason = reason


class TornBlock(BlockError):
    """The buffer ends inside the block: more bytes may follow, or the writer died here."""


class BadBlock(BlockError):
    """The bytes are no block (magic, version, length or CRC)."""


def encode_block(entries: Iterable[Entry], *, feed_id: int, epoch: int, first_seq: int) -> bytes:
    """Return the bytes of one block holding `entries` in order."""
    pack = ENTRY.pack
    parts: list[bytes] = []
    add = parts.append
    for rx_ns, line, flags, data in entries:
        add(pack(rx_ns, line, flags, len(data)))
        add(data)
    payload = b"".join(parts)
    head = HEAD.pack(MAGIC, VERSION, feed_id, epoch, first_seq, len(parts) >> 1, len(payload))
    return b"".join((head, CRC.pack(crc32(payload, crc32(head))), payload))


def block_length(buffer: bytes | memoryview, offset: int = 0) -> int:
    """Length in bytes of the block at `offset`, from its header alone. Raises TornBlock or BadBlock."""
    if len(buffer) - offset < HEADER.size:
        raise TornBlock(offset, f"{len(buffer) - offset} bytes left, a header has {HEADER.size}")
    magic, version, _feed, _epoch, _first, count, length, _crc = HEADER.unpack_from(buffer, offset)
    if magic != MAGIC:
        raise BadBlock(offset, f"magic {magic!r}, expected {MAGIC!r}")
    if version != VERSION:
        raise BadBlock(offset, f"version {version}, this code reads {VERSION}")
    if count * ENTRY.size > length:
        raise BadBlock(offset, f"{count} entries do not fit into {length} bytes")
    return HEADER.size + int(length)


def decode_block(buffer: bytes, offset: int = 0) -> tuple[Block, int]:
    """Return the block at `offset` and the offset behind it. Raises TornBlock or BadBlock."""
    size = block_length(buffer, offset)
    end = offset + size
    if len(buffer) < end:
        raise TornBlock(offset, f"{len(buffer) - offset} bytes of {size}")
    _m, _v, feed_id, epoch, first, count, _length, crc = HEADER.unpack_from(buffer, offset)
    start = offset + HEADER.size
    head_crc = crc32(buffer[offset : offset + HEAD.size])
    if crc32(memoryview(buffer)[start:end], head_crc) != crc:
        raise BadBlock(offset, "CRC does not match")
    return Block(feed_id, epoch, first, _entries(buffer, start, end, count)), end


def _entries(buffer: bytes, at: int, end: int, count: int) -> list[Entry]:
    unpack = ENTRY.unpack_from
    entries: list[Entry] = []
    add = entries.append
    start = at
    for _ in range(count):
        if at + 12 > end:
            raise BadBlock(start, f"entry {len(entries)} begins outside the payload")
        rx_ns, line, flags, length = unpack(buffer, at)
        at += 12
        add((rx_ns, line, flags, buffer[at : at + length]))
        at += length
    if at != end:
        raise BadBlock(start, f"entries end {end - at} bytes before the payload does")
    return entries
