"""Maps a routing key to its partition: FNV-1a, 32 bit, cached per key."""

from __future__ import annotations

FNV_OFFSET = 0x811C9DC5
FNV_PRIME = 0x01000193


def fnv1a(key: bytes) -> int:
    """FNV-1a 32-bit hash of `key` (http://www.isthe.com/chongo/tech/comp/fnv/)."""
    value = FNV_OFFSET
    for byte in key:
        value = ((value ^ byte) * FNV_PRIME) & 0xFFFFFFFF
    return value


class PartitionTable(dict[bytes, int]):
    """Partition of a routing key, computed once per key: `table[key]`.

    Keys come from the feed and are bounded by its instruments; past `keys_max` (a hostile feed) the table starts
    anew, which costs time and nothing else.
    """

    def __init__(self, partitions: int, keys_max: int = 100_000) -> None:
        if partitions < 1:
            raise ValueError(f"partitions must be at least 1, found {partitions}")
        super().__init__()
        self.partitions = partitions
        self.keys_max = keys_max

    def __missing__(self, key: bytes) -> int:
        if len(self) >= self.keys_max:
            self.clear()
        partition = self[key] = fnv1a(key) % self.partitions
        return partition
