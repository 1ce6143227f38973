"""M1 and 34=0 are known by their bytes; what is older than all that is remembered was passed on already."""

from __future__ import annotations

import json

import pytest

from feeds.parser import checkpoint
from feeds.parser.context import UNSEQUENCED_MAX
from tests.feeds.data_path import DataPath
from tests.feeds.wire import message, price_head

BACKLOG = 3 * UNSEQUENCED_MAX


def sent(n: int) -> str:
    """SendingTime of the n-th message."""
    return f"20261120 02:{15 + n // 60_000:02d}:{n // 1000 % 60:02d}.{n % 1000:03d}"


def index(n: int, *, market: str = "STO") -> bytes:
    body = ((30001, market), (30167, "001"), (30217, f"{1000 + n}.0"))
    return message("M1", 1, *body, sent=sent(n))


def unnumbered(n: int) -> bytes:
    return message(
        "ME", 0, *price_head()[:2], (55, "VN000000FPT1"), (30552, f"{n}.0"), (30553, "1"), (30554, "0.0"), sent=sent(n)
    )


def parsed(path: DataPath, backlog: list[bytes]) -> int:
    for start in range(0, len(backlog), 100):
        path.arrive(*backlog[start : start + 100])
        path.parse()
    return len(path.records)


@pytest.mark.parametrize("make", [index, unnumbered], ids=["M1", "34=0"])
def test_a_long_backlog_published_again_says_nothing(make: object) -> None:
    """A publisher that lost its cursor, or the other one of a pair that was away."""
    backlog = [make(n) for n in range(BACKLOG)]  # type: ignore[operator]
    path = DataPath(partitions=1)
    assert parsed(path, backlog) == BACKLOG
    path.stage = DataPath(partitions=1).stage
    assert parsed(path, backlog) == BACKLOG
    assert path.counts.duplicates == BACKLOG
    assert parsed(path, [make(BACKLOG)]) == BACKLOG + 1  # type: ignore[operator]


def test_of_each_market_by_itself() -> None:
    path = DataPath(partitions=1)
    parsed(path, [index(n) for n in range(1_000, 1_000 + BACKLOG)])
    before = len(path.records)
    assert parsed(path, [index(1, market="STX")]) == before + 1


def test_it_is_in_the_checkpoint_and_an_older_one_is_read() -> None:
    path = DataPath(partitions=1)
    backlog = [index(n) for n in range(BACKLOG)]
    parsed(path, backlog)
    kept = checkpoint.encode(path.pipelines[0], "run", "one")
    older = json.loads(kept)
    for context in older["contexts"]:
        del context["sent"], context["forgotten"]
    for body, again in ((kept, 0), (json.dumps(older).encode(), BACKLOG - UNSEQUENCED_MAX)):
        successor = DataPath(partitions=1)
        found = checkpoint.decode(body)
        successor.pipelines[0].contexts = {(c.origin, c.feed): c for c in found.contexts}
        said = parsed(successor, backlog)
        assert said == 0 if not again else said >= again
