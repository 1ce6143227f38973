"""Snapshot and deltas are the reference book at every `n`: random images, whole simulated days, a recorded session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given

from feeds.blocks import FLAG_MESSAGE, Block
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator
from feeds.simulator.cap import parse_cap
from feeds.simulator.exchange import Exchange
from tests.books.depth_records import depth, image_sequences
from tests.books.publishing import assert_followed
from tests.books.reference import Gap
from tests.conftest import SHARED_DATA
from tests.simulator.trading_days import FEEDS, whole_day

RECORDED = SHARED_DATA / "recorded_session.cap"
EPOCH = 2026112001


def depth_records(datagrams: Iterable[tuple[str, int, bytes]]) -> Iterator[bytes]:
    """What the real parser makes of (feed, time, message), the depth records of it."""
    pipeline = Pipeline(0, {}, translator=Translator(), counts=ParserCounts())
    for number, (feed, rx_ns, data) in enumerate(datagrams, start=1):
        parsed = pipeline.feed(Block(1, EPOCH, number, [(rx_ns, 0, FLAG_MESSAGE, data)]), "live", feed)
        yield from (record.encode() for record in parsed.records if record.startswith('{"ch":"depth"'))


@given(image_sequences())
def test_random_images(records: list[bytes]) -> None:
    assert_followed(records)


@given(image_sequences())
def test_a_new_epoch_begins_with_snapshots(records: list[bytes]) -> None:
    again = [record.replace(b"20261120-1", b"20261120-2") for record in records]
    counts = assert_followed([*records, *again], levels=(10,))
    assert counts["snap"] == 2 * len({record[record.index(b',"bd":') :][:12] for record in records})


def test_a_simulated_day() -> None:
    """The four markets from the opening auction to the close, books of three and of ten levels."""
    exchange = Exchange(FEEDS, symbols=5, seed=4, steady=False)
    day = ((message.feed, number, message.data) for number, message in enumerate(whole_day(exchange), start=1))
    counts = assert_followed(depth_records(day))
    assert counts["delta"] > 5_000
    assert counts["checked"] > counts["snap"] > 50
    assert counts["unchanged"] > 100  # below the shallow depths


def test_a_busy_hour_of_derivatives() -> None:
    """Twenty levels of few contracts, so that the same book changes thousands of times."""
    exchange = Exchange({"DVX": ("DVX",)}, symbols=2, seed=5, depth=20)
    hour: list[tuple[str, int, bytes]] = []
    for second in range(0, 3600, 2):
        exchange.set_time(1_795_500_000_000_000_000 + second * 1_000_000_000, 36_000 + second)
        hour += [(message.feed, len(hour), message.data) for message in exchange.take(3)]
    counts = assert_followed(depth_records(hour), levels=(5, 10, 0))
    assert counts["delta"] > 5_000
    assert counts["checked"] > 50


if RECORDED.exists():

    def test_the_recorded_session() -> None:
        with RECORDED.open("rb") as lines:
            datagrams = [("DVX", datagram.rx_ns, datagram.data) for datagram in parse_cap(lines)]
        counts = assert_followed(depth_records(datagrams))
        assert counts["snap"] == 4 * 5
        assert counts["snap"] + counts["delta"] == 752 * 5


def test_a_follower_notices_a_lost_delta() -> None:
    """The comparison itself can fail."""
    records = [depth(n, [(98500, n)], []) for n in (1, 2, 4)]
    with pytest.raises(Gap):
        assert_followed(records)
