"""What the database itself refuses of feeds and instruments, and what clean() explains."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, models, transaction

from feeds.checks import feeds_can_be_received
from feeds.models import BoardFacts, Exchange, Feed, Instrument, Line

pytestmark = pytest.mark.django_db


@pytest.fixture
def feed() -> Feed:
    exchange = Exchange.objects.create(code="KRX", name="KRX")
    return Feed.objects.create(name="STO", exchange=exchange, markets=["STO"])


def refuses(row: models.Model) -> None:
    with pytest.raises((IntegrityError, DataError)), transaction.atomic():
        row.save()


def test_one_a_and_one_b_each_on_its_own_address(feed: Feed) -> None:
    Line.objects.create(feed=feed, name="A", group="239.1.1.1", port=5000)
    refuses(Line(feed=feed, name="A", group="239.1.1.2", port=5000))
    refuses(Line(feed=feed, name="B", group="239.1.1.1", port=5000))
    refuses(Line(feed=feed, name="C", group="239.1.1.2", port=5000))
    for port in (0, 65_536):
        refuses(Line(feed=feed, name="B", group="239.1.1.2", port=port))
    Line.objects.create(feed=feed, name="B", group="239.1.1.2", port=5000)


def test_clean_names_the_line_that_is_used_twice(feed: Feed) -> None:
    Line.objects.create(feed=feed, name="A", group="239.1.1.1", port=5000)
    with pytest.raises(ValidationError, match="the two would hear each other"):
        Line(feed=feed, name="B", group="239.1.1.1", port=5000).full_clean()


@pytest.mark.parametrize(
    "values",
    [
        {"group": "127.0.0.1", "source": "10.0.0.1"},
        {"group": "239.1.1.1", "source": "239.1.1.2"},
        {"group": "239.1.1.1", "interface": "239.1.1.2"},
        {"group": "multicast"},
    ],
)
def test_clean_refuses_addresses_that_cannot_work(feed: Feed, values: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Line(feed=feed, name="A", port=5000, **values).full_clean()


@pytest.mark.parametrize("values", [{"gap_wait_ms": 0}, {"gap_messages_max": 0}, {"receive_buffer_bytes": 1}])
def test_a_feeds_limits_are_positive(feed: Feed, values: dict[str, int]) -> None:
    refuses(Feed(name="X", exchange=feed.exchange, markets=["STX"], **values))


@pytest.mark.parametrize(
    ("markets", "words"),
    [(["ABC"], "'ABC' is not known"), (["STO", "STO"], "twice"), ("STO", "not a list"), ([], "cannot be blank")],
)
def test_markets_are_known_codes(feed: Feed, markets: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        Feed(name="X", exchange=feed.exchange, markets=markets).full_clean()
    assert list(caught.value.message_dict) == ["markets"]


def test_a_feed_name_is_fit_for_a_folder(feed: Feed) -> None:
    for name in ("../etc", "a b", "", "a\n"):
        with pytest.raises(ValidationError):
            Feed(name=name, exchange=feed.exchange, markets=["STO"]).full_clean()


@pytest.mark.parametrize("isin", ["", "VN000000FPT", "vn000000fpt1", "VN000000FPTX", "VN000000FPT11", "VN0000 0FPT1"])
def test_an_isin_has_twelve_characters_of_the_known_form(isin: str) -> None:
    refuses(Instrument(isin=isin, ticker="FPT", market="STO"))


def test_an_instrument_is_once_by_isin_and_by_ticker() -> None:
    Instrument.objects.create(isin="VN000000FPT1", ticker="FPT", market="STO")
    refuses(Instrument(isin="VN000000FPT1", ticker="FPX", market="STO"))
    refuses(Instrument(isin="VN000000FPT2", ticker="FPT", market="STO"))
    refuses(Instrument(isin="VN000000FPT3", ticker="FPY", market="XXX"))
    Instrument.objects.create(isin="VN000000FPT2", ticker="FPT", market="UPX")


def test_a_band_is_not_upside_down() -> None:
    row = Instrument.objects.create(isin="VN000000FPT1", ticker="FPT", market="STO")
    refuses(BoardFacts(instrument=row, board="G1", ceiling=1, floor=2))
    refuses(BoardFacts(instrument=row, board="G1", lot=0))
    BoardFacts.objects.create(instrument=row, board="G1", ceiling=None, floor=2)
    refuses(BoardFacts(instrument=row, board="G1"))


def test_the_system_check_finds_what_no_constraint_can(feed: Feed) -> None:
    def ids() -> list[str | None]:
        return [message.id for message in feeds_can_be_received(None, databases=["default"])]

    assert ids() == ["mdds.E101"]
    Line.objects.create(feed=feed, name="A", group="239.1.1.1", port=5000)
    assert ids() == ["mdds.W101"]
    Line.objects.create(feed=feed, name="B", group="239.1.1.1", port=5001)
    assert ids() == []
    other = Feed.objects.create(name="TWO", exchange=feed.exchange, markets=["STX", "STO"])
    Line.objects.create(feed=other, name="A", group="239.1.1.1", port=5002)
    Line.objects.create(feed=other, name="B", group="239.1.1.1", port=5003)
    assert ids() == ["mdds.E102"]
    Feed.objects.filter(pk=other.pk).update(enabled=False)
    assert ids() == []
