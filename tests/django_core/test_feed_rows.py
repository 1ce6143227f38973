"""Feed and instrument rows as the values workers are handed, and back."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from feeds.config import FeedConfig, InstrumentDefinition, LineConfig
from feeds.feed_rows import UnknownFeed, load_feeds, load_instruments, save_instruments
from feeds.models import BoardFacts, Exchange, Feed, Instrument, Line

pytestmark = pytest.mark.django_db

FPT = InstrumentDefinition(
    isin="VN000000FPT1",
    ticker="FPT",
    market="STO",
    board="G1",
    name="FPT Corporation",
    reference="98500.0",
    ceiling="105300.0",
    floor="91700.0",
    lot="100",
)


@pytest.fixture
def feed() -> Feed:
    exchange = Exchange.objects.create(code="KRX", name="KRX")
    row = Feed.objects.create(name="STO", exchange=exchange, markets=["STO", "BDO"], gap_wait_ms=50)
    Line.objects.create(feed=row, name="B", group="127.0.0.1", port=5001)
    Line.objects.create(feed=row, name="A", group="232.1.1.1", port=5000, source="10.0.0.1", interface="127.0.0.1")
    Feed.objects.create(name="OFF", exchange=exchange, markets=["STX"], enabled=False)
    Feed.objects.create(name="BARE", exchange=exchange, markets=["UPX"])
    return row


def test_a_feed_is_one_frozen_value(feed: Feed) -> None:
    assert load_feeds(["STO"], partitions=2) == [
        FeedConfig(
            id=feed.pk,
            name="STO",
            exchange="KRX",
            markets=("STO", "BDO"),
            lines=(
                LineConfig("A", "232.1.1.1", 5000, "10.0.0.1", "127.0.0.1"),
                LineConfig("B", "127.0.0.1", 5001, None, "0.0.0.0"),
            ),
            partitions=2,
            gap_wait_ns_max=50_000_000,
            gap_messages_max=1000,
            receive_buffer_bytes=200 << 20,
        )
    ]
    assert [line.multicast for line in load_feeds(["STO"])[0].lines] == [True, False]


@pytest.mark.parametrize(("name", "words"), [("NONE", "no feed 'NONE'"), ("OFF", "disabled"), ("BARE", "no line")])
def test_a_feed_that_cannot_run_is_named(feed: Feed, name: str, words: str) -> None:
    with pytest.raises(UnknownFeed, match=words):
        load_feeds([name])


def test_definitions_are_learnt_and_updated() -> None:
    odd = replace(FPT, board="G4", lot="1", ceiling=None, floor=None)
    assert save_instruments([odd, FPT]) == 1
    assert save_instruments([replace(FPT, name="FPT Corp", reference="99000.0")]) == 1
    row = Instrument.objects.get()
    assert (row.isin, row.ticker, row.market, row.name) == ("VN000000FPT1", "FPT", "STO", "FPT Corp")
    facts = BoardFacts.objects.order_by("board").values_list("board", "reference", "ceiling", "lot")
    assert list(facts) == [
        ("G1", Decimal("99000"), Decimal("105300"), Decimal(100)),
        ("G4", Decimal("98500"), None, Decimal(1)),
    ]
    assert load_instruments() == {"VN000000FPT1": ("FPT", "STO")}


def test_a_ticker_may_move_to_another_isin() -> None:
    save_instruments([FPT])
    save_instruments([replace(FPT, isin="VN000000FPT2")])
    assert load_instruments() == {"VN000000FPT1": ("FPT~VN000000FPT1", "STO"), "VN000000FPT2": ("FPT", "STO")}


def test_tickers_may_be_swapped_in_one_go() -> None:
    vnm = replace(FPT, isin="VN000000VNM1", ticker="VNM")
    save_instruments([FPT, vnm])
    save_instruments([replace(FPT, ticker="VNM"), replace(vnm, ticker="FPT")])
    assert load_instruments() == {"VN000000FPT1": ("VNM", "STO"), "VN000000VNM1": ("FPT", "STO")}


def test_numbers_that_are_none_harm_nobody() -> None:
    odd = replace(FPT, reference="NaN", ceiling="1", floor="2", lot="-5")
    assert save_instruments([odd, replace(FPT, isin="VN000000VNM1", ticker="VNM")]) == 2
    facts = BoardFacts.objects.get(instrument__isin="VN000000FPT1")
    assert (facts.reference, facts.ceiling, facts.floor, facts.lot) == (None, None, None, None)


def test_a_definition_that_no_row_can_hold_does_not_harm_the_others(caplog: pytest.LogCaptureFixture) -> None:
    bad = [
        replace(FPT, isin="VN1"),
        replace(FPT, isin="VN000000FPT1\n"),
        replace(FPT, market="XXX"),
        replace(FPT, ticker=""),
        replace(FPT, ticker="T" * 33),
        replace(FPT, board="g1"),
    ]
    long = replace(FPT, isin="VN000000VNM1", ticker="VNM", name="n\0" + "x" * 300)
    assert save_instruments([*bad, long]) == 1
    assert [row.name for row in Instrument.objects.all()] == ["n" + "x" * 199]
    assert len(caplog.records) == len(bad)


def test_no_definitions_is_no_query() -> None:
    assert save_instruments([]) == 0
