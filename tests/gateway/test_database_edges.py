"""The gateway over its real edges: keys and instruments in the database, changes told by the models themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from channels.layers import channel_layers
from django.conf import settings
from django.utils import timezone

from feeds.models import Instrument
from subscriptions import demo
from subscriptions.gateway.edges import database_edges
from subscriptions.models import ApiKey, Entitlement, Subscriber
from tests.gateway import cast
from tests.gateway.running import RunningGateway, closed_with, running

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def key() -> str:
    """The demo subscriber's key, and one instrument that no record has named yet."""
    owner = demo.subscriber()
    Instrument.objects.create(isin="VN000000FPT1", ticker="FPT", market="STO")
    return demo.key(owner, None, site_secret=settings.SECRET_KEY, now=timezone.now())


@pytest.fixture
def gateway(tmp_path: Path, key: str) -> Iterator[RunningGateway]:
    with running(tmp_path, edges=database_edges(control=channel_layers["control"])) as one:
        yield one


def test_a_key_of_the_database_opens_what_its_contract_opens(gateway: RunningGateway, key: str) -> None:
    client = gateway.connect(key)
    welcome = client.frame()
    assert (welcome["subscriber"], welcome["limits"]["symbols"]) == (demo.SUBSCRIBER, 100_000)
    assert client.subscribe("depth", "FPT")["granted"]["depth"] == 10
    gateway.publish(cast.depth("FPT", 1))
    assert client.records(1)[0]["s"] == "FPT"
    wrong = gateway.connect(key[:-6] + "aaaaaa")
    assert wrong.frame()["code"] == "AUTH_FAILED"
    public = gateway.connect(None)
    assert public.frame()["subscriber"] == "anonymous"
    assert public.subscribe("depth", "FPT")["errors"][0]["code"] == "AUTH_REQUIRED"


def test_a_key_revoked_in_the_admin_ends_its_stream_within_a_second(gateway: RunningGateway, key: str) -> None:
    client = gateway.connect(key)
    client.frame()
    client.subscribe("trade", "FPT")
    row = ApiKey.objects.get()
    row.revoked_at = timezone.now()
    began = time.monotonic()
    row.save()
    assert client.frame(2.0)["code"] == "KEY_REVOKED"
    assert time.monotonic() - began < 1.0
    assert closed_with(client)[0] == 4401


def test_an_entitlement_taken_away_ends_its_streams_within_a_second(gateway: RunningGateway, key: str) -> None:
    client = gateway.connect(key)
    client.frame()
    client.subscribe("trade", "FPT")
    client.subscribe("status", "board:STO.G1")  # public: it stays
    began = time.monotonic()
    Entitlement.objects.get().delete()
    ended = client.frame(2.0)
    assert time.monotonic() - began < 1.0
    assert (ended["code"], ended["ch"], ended["s"]) == ("NOT_ENTITLED", "trade", "FPT")
    assert [row["ch"] for row in client.ask(op="list")["subscriptions"]] == ["status"]


def test_a_blocked_subscriber_is_out(gateway: RunningGateway, key: str) -> None:
    client = gateway.connect(key)
    client.frame()
    row = Subscriber.objects.get()
    row.blocked = True
    row.save()
    assert client.frame(2.0)["code"] == "KEY_REVOKED"
    assert closed_with(client)[0] == 4401
