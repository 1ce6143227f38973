"""The server's side of a book stream in a test: depth records in, a follower at each depth that must equal them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from subscriptions.books.book import delta, snapshot
from subscriptions.books.ladder import LEVELS, Ladder
from tests.books.reference import Follower, book_of, row_of


def assert_followed(depth_records: Iterable[bytes], *, levels: tuple[int, ...] = LEVELS) -> Counter[str]:
    """Publish the books of the records and follow them; at every `n`, at every depth, both sides are the image's.
    Returns how many records of which kind there were."""
    counts: Counter[str] = Counter()
    ladders: dict[tuple[object, object, object], Ladder] = {}
    followers: dict[tuple[object, int], Follower] = {}
    for record in depth_records:
        depth = row_of(record)
        key = (depth["s"], depth["ep"], depth["bd"])
        ladder, before = Ladder.of(record), ladders.get(key)
        bids, asks = book_of(depth, "b"), book_of(depth, "a")
        for level in levels:
            cut = ladder.cut(level)
            made = snapshot(cut, record) if before is None else delta(before.cut(level), cut, record)
            follower = followers.setdefault((depth["s"], level), Follower())
            follower.take(made)
            assert follower.n == depth["n"]
            end = level or None
            assert follower.side(depth["bd"], "b") == bids[:end]
            assert follower.side(depth["bd"], "a") == asks[:end]
            counts["snap" if before is None else "delta"] += 1
            counts["unchanged"] += b'"b":[],"a":[]' in made
        ladders[key] = ladder
    counts["checked"] = sum(follower.checked for follower in followers.values())
    return counts
