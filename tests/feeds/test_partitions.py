"""FNV-1a as published, the same partition for a key wherever it is computed, and a table that cannot grow for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.partitions import PartitionTable, fnv1a

# http://www.isthe.com/chongo/src/fnv/test_fnv.c, 32 bit FNV-1a.
KNOWN = {
    b"": 0x811C9DC5,
    b"a": 0xE40C292C,
    b"b": 0xE70C2DE5,
    b"c": 0xE60C2C52,
    b"foobar": 0xBF9CF968,
    b"foo": 0xA9F37ED7,
    b"fo": 0x6222E842,
}


@pytest.mark.parametrize("key", KNOWN)
def test_known_vectors(key: bytes) -> None:
    assert fnv1a(key) == KNOWN[key]


@given(st.binary(max_size=20), st.integers(1, 16))
def test_the_table_says_what_the_hash_says(key: bytes, partitions: int) -> None:
    table = PartitionTable(partitions)
    assert [table[key], table[key]] == [fnv1a(key) % partitions] * 2
    assert len(table) == 1


def test_the_table_is_bounded() -> None:
    table = PartitionTable(4, keys_max=10)
    for n in range(1_000):
        assert table[b"%d" % n] == fnv1a(b"%d" % n) % 4
        assert len(table) <= 10


def test_isins_are_spread_over_the_partitions() -> None:
    table = PartitionTable(4)
    counts = [0] * 4
    for n in range(1_550):
        counts[table[b"VN%09d%d" % (n, n % 10)]] += 1
    assert min(counts) > 1_550 / 4 * 0.8


def test_no_partitions_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 1, found 0"):
        PartitionTable(0)
