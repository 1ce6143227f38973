"""I10 over REST: rights flip at random between snapshots and histories; an oracle finds nothing without its right."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from django.utils import timezone

from subscriptions import grants
from subscriptions.api import snapshots
from subscriptions.entitlements import effective_access
from subscriptions.models import ApiKey, Entitlement, Product
from tests.api import recorded
from tests.api.conftest import Served, remembering, served, session_journal
from tests.gateway import cast

__all__ = ["remembering", "served", "session_journal"]

SEED = 20261121
STEPS = 100
DELAYS_S = (60, 120, 150)
NS = 1_000_000_000


def flip(product: Product, draw: random.Random) -> None:
    late = draw.random() < 0.4
    product.channels = [name for name in ("trade", "depth", "book", "quote", "bar") if draw.random() < 0.6] or ["stats"]
    product.level = draw.choice([1, 3, 10])
    product.timeliness, product.delay_s = ("delayed", draw.choice(DELAYS_S)) if late else ("realtime", 0)
    product.save()
    symbols = draw.choice([None, None, [tickers()[0]], [tickers()[1]]])
    Entitlement.objects.filter(product=product).update(symbols=symbols)


def tickers() -> list[str]:
    (market,) = recorded.simulated().markets
    return sorted(one.listing.ticker for one in market.securities)[:3]


def right(served: Served, channel: str, symbol: str) -> Any:
    """What the rows say, by the pure rule: asked anew, past everything that the API may remember."""
    key = ApiKey.objects.get(subscriber__code="bob")
    rights = grants.rights_of([key.subscriber_id])[key.subscriber_id]
    grant = grants.of_key(key, rights, at=timezone.now(), zone=timezone.get_default_timezone())
    found = effective_access(grant, channel, symbol=symbol, market="STO", at_ns=served.now_ns or 0)
    if found.code == "DELAYED_ONLY":
        found = effective_access(
            grant, channel, symbol=symbol, market="STO", at_ns=served.now_ns or 0, timeliness="delayed"
        )
    return found


def levels(row: dict[str, Any]) -> int:
    return max((len(row[side]) for side in ("b", "a") if side in row), default=1)


def leaks(rows: list[dict[str, Any]], found: Any, *, now_ns: int, channel: str) -> list[dict[str, Any]]:
    """Rows too fresh or too deep for this right; all of them without one."""
    if not found.allowed:
        return rows
    newest_ns = now_ns - found.delay_s * NS
    return [
        row for row in rows
        if (found.delay_s and row["rx"] >= newest_ns) or (channel in ("depth", "book") and levels(row) > found.level)
    ]  # fmt: skip


def test_no_snapshot_and_no_history_leaks(remembering: Served) -> None:
    draw, seen, found_leaks = random.Random(SEED), Counter[str](), []
    now_ns = remembering.now_ns = recorded.START_NS + recorded.STEPS * recorded.STEP_NS
    product = Product.objects.get(code="for-bob")
    keep_images(remembering, now_ns)
    for step in range(STEPS):
        if step % 3 == 0:
            flip(product, draw)
        kind = draw.choice(["snapshot/depth", "snapshot/book", "snapshot/quote", "history/trade", "history/depth"])
        channel, symbol = kind.rpartition("/")[2], draw.choice(tickers())
        if kind.startswith("snapshot"):
            response = remembering.get(f"{kind}/{symbol}", "bob")
        else:
            start = "2026-11-20T02:15:00Z"
            response = remembering.get(kind, "bob", symbol=symbol, start=start, limit=2_000)
        allowed = right(remembering, channel, symbol)
        body = response.json()
        if response.status_code != 200:
            assert body["code"] == allowed.code, (SEED, step, body, allowed)
            assert not any(name in str(body) for name in ('"p":', '"b":')), "an error text carries data"
            seen[body["code"]] += 1
            continue
        seen[f"{kind} {allowed.timeliness}"] += bool(body["records"])
        found_leaks += leaks(body["records"], allowed, now_ns=now_ns, channel=channel)
    print(f"seed {SEED}: {dict(seen)}")
    assert found_leaks[:3] == [], f"seed {SEED}"
    assert seen["NOT_ENTITLED"] > 5
    assert sum(count for name, count in seen.items() if name.endswith("realtime")) > 5
    assert sum(count for name, count in seen.items() if name.endswith("delayed")) > 3


def keep_images(served: Served, now_ns: int) -> None:
    """Fresh, deep images in the hot cache: what a delayed or a shallow right must not get."""
    for number, symbol in enumerate(tickers(), start=1):
        served.keep(cast.depth(symbol, number).replace(b'"rx":1,', b'"rx":%d,' % (now_ns - 5 * NS)))


def test_an_interface_that_forgets_the_delay_is_caught(remembering: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = remembering.now_ns = recorded.START_NS + recorded.STEPS * recorded.STEP_NS
    Product.objects.filter(code="for-bob").update(channels=["depth"], timeliness="delayed", delay_s=120)
    keep_images(remembering, now_ns)
    images = remembering.images
    monkeypatch.setattr(snapshots, "_images", lambda channel, symbol, right, *, now_ns: images.get(channel, symbol))
    rows = remembering.json(f"snapshot/depth/{tickers()[0]}", "bob")["records"]
    assert leaks(rows, right(remembering, "depth", tickers()[0]), now_ns=now_ns, channel="depth") != []
