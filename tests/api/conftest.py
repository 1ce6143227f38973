"""The cast of the REST tests: Alice has everything, Bob a little, Della is delayed; and a system that serves them."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

import mdds_site.api  # noqa: F401 - installs the site's edges, before ours replace them
from feeds.models import Exchange, Feed, Instrument, Line
from subscriptions import demo
from subscriptions.api import edges, keys
from subscriptions.api.rates import Rates
from subscriptions.cache.images import ImageBook
from subscriptions.cache.store import MemoryImages
from subscriptions.models import Contract, Entitlement, Product, Subscriber
from tests.api import recorded

PLANS: dict[str, dict[str, Any]] = {
    "alice": {"markets": ["STO", "STX"], "channels": list(demo.PRODUCTS["krx-realtime"]["channels"])},  # type: ignore[call-overload]
    "bob": {"markets": ["STO"], "channels": ["depth", "book"], "level": 3},
    "della": {"markets": ["STO"], "channels": ["trade", "depth", "bar"], "timeliness": "delayed", "delay_s": 60},
}


class Served:
    """Requests as one of the cast; the images and the clock that they meet."""

    def __init__(self, data_dir: Path) -> None:
        self.images = MemoryImages()
        self.data_dir = data_dir
        self.now_ns: int | None = None
        self.keys: dict[str, str] = {}

    def edges(self) -> edges.ApiEdges:
        now_ns = self.now_ns
        clock = time.time_ns if now_ns is None else lambda: now_ns
        return edges.ApiEdges(self.images, self.data_dir, 4, "Asia/Ho_Chi_Minh", clock)

    def keep(self, *lines: bytes) -> None:
        book = ImageBook()
        book.note(b"\n".join(lines))
        self.images.put(book.take())

    def get(self, path: str, who: str | None = "alice", **query: object) -> Any:
        return self.ask("get", path, who, query)

    def ask(self, method: str, path: str, who: str | None = "alice", data: Any = None, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.keys.get(who, who)}"} if who else {}
        call = getattr(Client(), method)
        if method in ("post", "put", "patch"):
            options.setdefault("content_type", "application/json")
            data = json.dumps(data) if not isinstance(data, str) else data
        return call(f"/api/v1/{path}", data, headers=headers, **options)

    def json(self, path: str, who: str | None = "alice", **query: object) -> Any:
        response = self.get(path, who, **query)
        assert response.status_code == 200, response.content
        return response.json()

    def refusal(self, path: str, who: str | None = "alice", **query: object) -> tuple[int, str]:
        return refusal_of(self.get(path, who, **query))


def refusal_of(response: Any) -> tuple[int, str]:
    body = response.json()
    assert (body["t"], body["id"], body["fatal"]) == ("error", None, False)
    return response.status_code, body["code"]


def subscribe(name: str, plan: dict[str, Any]) -> str:
    """A subscriber with one contract to one product; its key."""
    product = Product.objects.create(code=f"for-{name}", name=name, **plan)
    owner = Subscriber.objects.create(code=name, name=name)
    contract = Contract.objects.create(
        subscriber=owner, number=f"C-{name}", starts_on=datetime.date(2020, 1, 1), ops_per_s_max=500
    )
    Entitlement.objects.create(contract=contract, product=product)
    return demo.key(owner, None, site_secret=settings.SECRET_KEY, now=timezone.now())


@pytest.fixture
def served(db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(keys, "_rates", Rates())
    monkeypatch.setattr(keys, "_failures", Rates())
    one = Served(tmp_path)
    exchange = Exchange.objects.create(code="KRX", name="KRX")
    feed = Feed.objects.create(name="STO", exchange=exchange, markets=["STO"])
    for name, port in (("A", 9001), ("B", 9002)):
        Line.objects.create(feed=feed, name=name, group="239.255.1.1", port=port)
    for market in recorded.simulated().markets:
        for security in market.securities:
            Instrument.objects.create(
                isin=security.isin, ticker=security.listing.ticker, market=market.name, name=security.listing.name
            )
    Product.objects.create(code="public", name="public", markets=["STO"], channels=["index", "status"], public=True)
    one.keys = {name: subscribe(name, plan) for name, plan in PLANS.items()}
    before = edges._edges
    edges.install(one.edges)
    yield one
    edges.install(before)


@pytest.fixture(scope="session")
def session_journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `journal/STO` holds three simulated minutes."""
    folder = tmp_path_factory.mktemp("recorded")
    recorded.write(folder / "journal" / "STO", 1)
    return folder


@pytest.fixture
def remembering(served: Served, session_journal: Path) -> Served:
    """The served system over that journal, a minute after its end."""
    served.data_dir = session_journal
    served.now_ns = recorded.START_NS + recorded.STEPS * recorded.STEP_NS + 60 * recorded.NS
    return served
