"""Where the time goes between PARSED and a client: the gateway's own histograms, read before and after a run."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping

AGE, FLUSH = "mdds_gateway_parsed_age_seconds", "mdds_gateway_flush_seconds"
_BUCKET = re.compile(r'^(\w+)_bucket\{le="([^"]+)"\} ([0-9.e+]+)$', re.MULTILINE)

Buckets = dict[tuple[str, float], float]  # (histogram, upper edge in s) → observations up to it


def read(port: int) -> Buckets:
    """What the gateway's metrics port says now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (name, float(edge)): float(count) for name, edge, count in _BUCKET.findall(text) if name in (AGE, FLUSH)
    }  # fmt: skip


def share_ms(before: Mapping[tuple[str, float], float], after: Buckets, *, name: str, share: float) -> float:
    """The upper edge of the bucket that a quantile lies in, ms."""
    grown = sorted((edge, count - before.get((one, edge), 0.0)) for (one, edge), count in after.items() if one == name)
    whole = grown[-1][1] if grown else 0.0
    return next((1000 * edge for edge, count in grown if whole and count >= share * whole), 0.0)


def words(before: Buckets, after: Buckets) -> str:
    """`published to fan-out: p50 ≤ 2 ms, p99 ≤ 10 ms; one flush: …`."""
    parts = []
    for text, name in (("published to fan-out", AGE), ("one flush of all clients", FLUSH)):
        p50, p99 = (share_ms(before, after, name=name, share=share) for share in (0.5, 0.99))
        parts.append(f"{text}: p50 ≤ {p50:g} ms, p99 ≤ {p99:g} ms")
    return "; ".join(parts)
