"""How many requests a key may make: a bucket per key, or per address where there is no key."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

BUCKETS_MAX = 20_000  # past it: the one used longest ago is forgotten, which means full
BURST_S = 2  # a bucket holds this many seconds' requests


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_ns: int


class Rates:
    """Token buckets of this process. Not thread-safe: the caller holds a lock."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self.refused = 0

    def spend(self, who: str, per_s: float, *, at_ns: int) -> int:
        """Take one request of `who`: 0 when it is there, else the milliseconds until the next one is."""
        full = max(1.0, per_s * BURST_S)
        bucket = self._buckets.pop(who, None) or _Bucket(full, at_ns)
        bucket.tokens = min(full, bucket.tokens + max(0, at_ns - bucket.at_ns) / 1e9 * per_s)
        bucket.at_ns = at_ns
        self._buckets[who] = bucket
        if len(self._buckets) > BUCKETS_MAX:
            self._buckets.popitem(last=False)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0
        self.refused += 1
        return int((1 - bucket.tokens) / per_s * 1000) + 1
