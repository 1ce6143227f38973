"""Who is asked for its rights when: in turn while changes reach the gateway, all and often while nothing does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from subscriptions.entitlements import Grant
from subscriptions.gateway import rights
from subscriptions.gateway.layer import StreamLayer
from subscriptions.protocol import ProtocolError
from tests.gateway import cast
from tests.gateway.running import DeadControl
from tests.gateway.test_looks import Sink

KEYS = 250


class Asked:
    """Keys that count how often each was asked for, and let the time pass that a test needs."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()

    async def login(self, secret: str, address: str | None) -> Grant:
        raise AssertionError("nobody logs in here")

    async def anonymous(self) -> Grant:
        raise AssertionError("nobody logs in here")

    async def refresh_all(self, key_ids: Sequence[str]) -> dict[str, Grant | ProtocolError]:
        self.times.update(key_ids)
        return {}

    def close(self) -> None:
        """Nothing is open."""


async def after(polls: int, *, reached: bool, keys: int = KEYS) -> Counter[str]:
    """How often each of so many open keys was asked for within so many polls."""
    layer, asked = StreamLayer(), Asked()
    for number in range(keys):
        seat = layer.open_seat(f"stream.{number}", Sink())
        seat.session.open(cast.grant(cast.rule({"trade"}), key_id=f"key{number:05}"))
        layer.open_keys.add(seat, f"key{number:05}")
    layer.open_keys.take_new()
    watch = rights.RightsWatch(layer, keys=asked, control=DeadControl())
    watch.journal_up = reached
    task = asyncio.create_task(watch._ask_in_turn())
    await asyncio.sleep((polls + 0.5) * rights.POLL_S)
    task.cancel()
    return asked.times


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "POLL_S", 0.05)


def test_while_changes_reach_us_each_key_has_its_turn() -> None:
    rounds = -(-KEYS // rights.KEYS_PER_ROUND)
    times = asyncio.run(after(rounds * rights.ROUND_POLLS, reached=True))
    assert len(times) == KEYS
    assert set(times.values()) <= {1, 2}, "the last round begins again with the first ones"
    assert times.total() == rounds * rights.KEYS_PER_ROUND


def test_few_keys_are_asked_no_oftener() -> None:
    times = asyncio.run(after(2 * rights.ROUND_POLLS, reached=True, keys=3))
    assert set(times.values()) == {2}


def test_while_nothing_reaches_us_all_are_asked_at_every_poll() -> None:
    times = asyncio.run(after(3, reached=False))
    assert len(times) == KEYS
    assert set(times.values()) == {3}


def test_a_key_that_a_session_has_just_begun_with_is_asked_at_once() -> None:
    async def begun() -> Counter[str]:
        layer, asked = StreamLayer(), Asked()
        watch = rights.RightsWatch(layer, keys=asked, control=DeadControl())
        watch.journal_up = True
        task = asyncio.create_task(watch._ask_in_turn())
        seat = layer.open_seat("stream.1", Sink())
        seat.session.open(cast.grant(cast.rule({"trade"}), key_id="new00001"))
        layer.open_keys.add(seat, "new00001")
        await asyncio.sleep(1.5 * rights.POLL_S)
        task.cancel()
        return asked.times

    assert asyncio.run(begun()) == {"new00001": 1}
