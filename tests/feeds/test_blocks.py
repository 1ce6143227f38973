"""A block is its bytes and nothing else: round trip, and no damaged or cut block ever passes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.blocks import HEADER, BadBlock, Block, BlockError, Entry, TornBlock, block_length, decode_block, encode_block

ENTRIES = st.lists(
    st.tuples(st.integers(0, (1 << 64) - 1), st.sampled_from([0, 1]), st.integers(0, 255), st.binary(max_size=60)),
    max_size=6,
)
ONE: list[Entry] = [(1_795_140_900_000_000_000, 1, 0, b"8=FIX"), (1_795_140_900_000_000_001, 0, 16, b"")]


def encoded(entries: list[Entry] = ONE) -> bytes:
    return encode_block(entries, feed_id=7, epoch=2026112001, first_seq=41)


@given(ENTRIES, st.integers(0, 65_535), st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1))
def test_round_trip(entries: list[Entry], feed_id: int, epoch: int, first_seq: int) -> None:
    data = encode_block(entries, feed_id=feed_id, epoch=epoch, first_seq=first_seq)
    assert decode_block(b"before" + data + b"behind", 6) == (Block(feed_id, epoch, first_seq, entries), 6 + len(data))
    assert block_length(data) == len(data)


def test_the_format_on_disk() -> None:
    """As design.md says; a change of these bytes makes every journal unreadable."""
    assert encoded().hex() == (
        "4d444231"  # magic
        "0100"  # version
        "0700"  # feed
        "0104c478"  # epoch
        "2900000000000000"  # first capture_seq
        "02000000"  # count
        "1d000000"  # payload length
        "5d2205fc"  # crc32
        "00684632239fe918"  # rx_ns
        "01000500"  # line, flags, length
        "383d464958"  # bytes
        "01684632239fe918"  # rx_ns
        "00100000"  # line, flags, length
    )


@pytest.mark.parametrize("size", range(len(encoded())))
def test_cut_at_every_byte(size: int) -> None:
    with pytest.raises(TornBlock):
        decode_block(encoded()[:size])


@pytest.mark.parametrize("at", range(len(encoded())))
@pytest.mark.parametrize("bit", [0, 7])
def test_a_bit_flip_anywhere_is_seen(at: int, bit: int) -> None:
    data = bytearray(encoded())
    data[at] ^= 1 << bit
    with pytest.raises(BlockError):
        decode_block(bytes(data))


def test_zeroes_are_no_block() -> None:
    with pytest.raises(BadBlock, match="magic"):
        decode_block(bytes(100))


@settings(max_examples=200)
@given(st.binary(max_size=80), st.integers(0, 40))
def test_arbitrary_bytes_never_crash(data: bytes, offset: int) -> None:
    with pytest.raises(BlockError) as caught:
        decode_block(data, offset)
    assert caught.value.offset == offset


def test_a_claimed_count_beyond_the_payload_is_refused_from_the_header() -> None:
    header = HEADER.pack(b"MDB1", 1, 7, 1, 1, 1_000_000_000, 100, 0)
    with pytest.raises(BadBlock, match="1000000000 entries do not fit into 100 bytes"):
        block_length(header)
