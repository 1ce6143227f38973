"""Notices on commit: what they say, whom they reach, and that a dead layer harms nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, channel_layers
from django.db import transaction

from feeds.models import Exchange, Feed, Line
from subscriptions.notices import NOTICES
from tests.django_core.cast import Cast

pytestmark = pytest.mark.django_db(transaction=True)


class Listener:
    """A worker's place on the control layer."""

    def __init__(self, layer: InMemoryChannelLayer) -> None:
        self.layer = layer
        self.channel: str = async_to_sync(layer.new_channel)()
        for group in ("rights", "feeds"):
            async_to_sync(layer.group_add)(group, self.channel)

    def heard(self) -> list[dict[str, Any]]:
        async def drain() -> list[dict[str, Any]]:
            found = []
            while True:
                try:
                    found.append(await asyncio.wait_for(self.layer.receive(self.channel), 0.05))
                except TimeoutError:
                    return found

        return async_to_sync(drain)()


@pytest.fixture
def listener() -> Iterator[Listener]:
    layer = InMemoryChannelLayer()
    before = channel_layers.set("control", layer)
    yield Listener(layer)
    channel_layers.set("control", before)


class DeadLayer:
    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        raise ConnectionError("redis is down")


def test_a_revoked_key_is_told_to_the_gateways(cast: Cast, listener: Listener) -> None:
    cast.alice_key.save()
    assert listener.heard() == [
        {
            "type": "rights.changed",
            "what": "apikey",
            "subscriber": cast.alice.pk,
            "keys": [cast.alice_key.public_id],
        }
    ]


def test_a_change_of_rights_names_every_key_of_its_subscriber(cast: Cast, listener: Listener) -> None:
    second = cast.key(cast.alice)
    listener.heard()
    both = sorted([cast.alice_key.public_id, second.public_id])
    cast.alice_right.delete()
    cast.alice_contract.save()
    cast.alice.save()
    heard = listener.heard()
    assert [message["what"] for message in heard] == ["entitlement", "contract", "subscriber"]
    assert [(message["subscriber"], message["keys"]) for message in heard] == [(cast.alice.pk, both)] * 3


def test_a_product_concerns_everybody(cast: Cast, listener: Listener) -> None:
    cast.public.save()
    assert listener.heard() == [{"type": "rights.changed", "what": "product", "subscriber": None, "keys": []}]


def test_nothing_is_told_before_the_commit_or_after_a_rollback(cast: Cast, listener: Listener) -> None:
    with transaction.atomic():
        cast.alice_key.save()
        assert listener.heard() == []
    assert len(listener.heard()) == 1
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        cast.alice_key.save()
        raise ZeroDivisionError
    assert listener.heard() == []


def test_feeds_and_lines(listener: Listener) -> None:
    feed = Feed.objects.create(name="STO", exchange=Exchange.objects.create(code="K", name="K"), markets=["STO"])
    line = Line.objects.create(feed=feed, name="A", group="127.0.0.1", port=5000)
    line.delete()
    assert listener.heard() == [{"type": "feeds.changed", "feed": "STO"}] * 3


def test_a_dead_layer_is_counted_not_raised(cast: Cast, listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    failed = NOTICES.labels("rights", "failed")
    before = failed._value.get()
    channel_layers.set("control", DeadLayer())
    cast.alice_key.save()
    assert failed._value.get() == before + 1
    assert "notice to rights failed (ConnectionError: redis is down)" in caplog.text
