"""Tokens for browsers, and what was counted of whom."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone

from subscriptions import usage
from subscriptions.models import ApiKey, Subscriber, UsageDay
from subscriptions.usage import SLICE, UsageMeter, UsageWorker
from tests.api.conftest import Served, refusal_of


def test_a_token_opens_what_its_key_opens_until_the_key_ends(served: Served) -> None:
    response = served.ask("post", "tokens", "bob", {})
    assert (response.status_code, response.json()["expires_in_s"]) == (201, 300)
    token = response.json()["token"]
    assert response.json()["subprotocols"] == [f"auth.{token}", "mdds.v1.json"]
    assert served.json("entitlements", token)["subscriber"] == "bob"
    assert refusal_of(served.ask("post", "tokens", token, {})) == (403, "NOT_ENTITLED")
    assert refusal_of(served.ask("post", "tokens", None, {})) == (401, "AUTH_REQUIRED")
    assert refusal_of(served.ask("post", "tokens", "bob", {"lifetime_s": 301})) == (422, "BAD_PARAM")
    bound = served.ask("post", "tokens", "bob", {"address": "203.0.113.9"}).json()["token"]
    assert served.refusal("feeds", bound) == (403, "IP_NOT_ALLOWED")
    ApiKey.objects.filter(subscriber__code="bob").update(revoked_at=timezone.now())
    assert served.refusal("entitlements", token) == (401, "KEY_REVOKED")


def seat(subscriber_id: int, key_id: str) -> Any:
    return SimpleNamespace(
        session=SimpleNamespace(grant=SimpleNamespace(subscriber_id=subscriber_id, key_id=key_id)),
        outbox=SimpleNamespace(delivered=0, sent_bytes=0),
    )


def test_a_meter_counts_each_record_once_and_the_last_ones_of_who_left() -> None:
    seats = {"a": seat(1, "alice001"), "b": seat(1, "alice001"), "anonymous": seat(0, "")}
    meter = UsageMeter(lambda: seats)
    meter.look()
    seats["a"].outbox.delivered, seats["a"].outbox.sent_bytes = 10, 1_000
    meter.look()
    meter.look()
    assert meter.take() == {(1, "alice001"): {"sessions": 2, "records": 10, "bytes": 1_000}}
    gone = seats.pop("a")
    gone.outbox.delivered, gone.outbox.sent_bytes = 13, 1_300
    meter.look()
    taken = meter.take()
    assert taken == {(1, "alice001"): {"records": 3, "bytes": 300}}
    meter.look()
    meter.give_back(taken)
    assert meter.take() == taken


def test_a_session_that_leaves_in_the_middle_of_a_look_is_read_once_more() -> None:
    seats = {f"s{number}": seat(1, "alice001") for number in range(2 * SLICE)}
    meter = UsageMeter(lambda: seats)
    meter.look()
    meter.take()
    looks = meter.looks()
    next(looks)  # the first half is done
    gone = seats.pop("s0")
    gone.outbox.delivered, gone.outbox.sent_bytes = 7, 700
    for _ in looks:
        pass
    assert meter.take() == {}
    meter.look()
    assert meter.take() == {(1, "alice001"): {"records": 7, "bytes": 700}}
    gone.outbox.delivered = 9
    meter.look()
    assert meter.take() == {}


@pytest.mark.django_db(transaction=True)
async def test_the_worker_adds_to_the_day_and_waits_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = await Subscriber.objects.acreate(code="acme", name="Acme")
    layer = SimpleNamespace(seats={"a": seat(owner.pk, "alice001"), "gone": seat(owner.pk + 99, "other001")})
    layer.seats["a"].outbox.delivered = 7
    monkeypatch.setattr(usage, "LOOK_S", 0.01)
    add, failures = usage.add, iter([DatabaseError("away")])

    def flaky(*arguments: Any) -> None:
        for error in failures:
            raise error
        add(*arguments)

    monkeypatch.setattr(usage, "add", flaky)
    worker, stop = UsageWorker(layer, time_zone="Asia/Ho_Chi_Minh"), asyncio.Event()
    task = asyncio.create_task(worker.run(stop))
    async with asyncio.timeout(20):
        while not worker.writes:  # noqa: ASYNC110 - a number of the worker
            await asyncio.sleep(0.01)
    layer.seats["a"].outbox.delivered = 9
    stop.set()
    await task
    rows = [row async for row in UsageDay.objects.values_list("key_id", "sessions", "records")]
    assert (rows, worker.failures) == ([("alice001", 1, 9)], 1)


def test_usage_is_the_subscribers_own(served: Served) -> None:
    alice, bob = (Subscriber.objects.get(code=name) for name in ("alice", "bob"))
    UsageDay.objects.create(subscriber=alice, key_id="k1", day="2026-11-20", sessions=2, records=30, bytes=4_000)
    UsageDay.objects.create(subscriber=bob, key_id="k2", day="2026-11-20", records=5)
    answer = served.json("usage", start="2026-11-01", end="2026-11-30")
    row = {"day": "2026-11-20", "key": "k1", "sessions": 2, "records": 30, "bytes": 4_000}
    assert answer == {"subscriber": "alice", "days": [row]}
    assert served.refusal("usage", start="2026-11-30", end="2026-11-01") == (422, "BAD_PARAM")
    assert served.json("usage")["subscriber"] == "alice"
    assert served.refusal("usage", None) == (401, "AUTH_REQUIRED")
