"""Sessions of a subscriber over several gateways: each login knows of the others', and a gateway's end is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from subscriptions.cache import redis_sessions
from subscriptions.cache.redis_sessions import RedisSessionCounts
from subscriptions.gateway import shared_sessions
from subscriptions.gateway.local_sessions import LocalSessions
from subscriptions.gateway.session_counts import CountsDown, Elsewhere, Held, MemorySessionCounts, SessionCounts
from subscriptions.gateway.shared_sessions import SharedSessions
from testbed.redis import PrivateRedis
from tests.gateway import cast

WHO = "subscriber 1"
ALICE = cast.grant(cast.rule({"trade"}), limits=replace(cast.LIMITS, sessions=3))
Make = Callable[[str], SessionCounts]


def in_memory() -> Make:
    table: dict[str, dict[str, Held]] = {}
    return lambda name: MemorySessionCounts(table, gateway=name)


def run(make: Make, scenario: Callable[[Make], Any]) -> None:
    asyncio.run(asyncio.wait_for(scenario(make), 30))


async def counts_of_all(make: Make) -> None:
    """What every keeper of counts does."""
    one, two, three = (make(name) for name in ("one", "two", "three"))
    assert await one.take(WHO, Held(1, 5_000_000), limit=3) == Elsewhere()
    assert await two.take(WHO, Held(1, 7_000_000), limit=3) == Elsewhere(1, "one", 5_000_000)
    assert await two.take("subscriber 2", Held(1, 8_000_000), limit=3) == Elsewhere()
    await two.tell({WHO: Held(2, 4_000_000)})
    assert await three.take(WHO, Held(1, 9_000_000), limit=3) == Elsewhere(3, "two", 4_000_000)
    # That was over the limit, so it was not noted; without a limit it is.
    assert await one.take(WHO, Held(1, 5_000_000), limit=3) == Elsewhere(2, "two", 4_000_000)
    assert await three.take(WHO, Held(1, 9_000_000), limit=None) == Elsewhere(3, "two", 4_000_000)
    assert await one.take(WHO, Held(1, 5_000_000), limit=None) == Elsewhere(3, "two", 4_000_000)
    await two.tell({WHO: Held(0, 0)})
    assert await one.take(WHO, Held(1, 5_000_000), limit=3) == Elsewhere(1, "three", 9_000_000)
    await three.leave()
    assert await one.take(WHO, Held(1, 5_000_000), limit=3) == Elsewhere()
    for door in (one, two):
        await door.leave()


def test_in_memory() -> None:
    run(in_memory(), counts_of_all)


@pytest.mark.services
def test_in_redis(redis_server: PrivateRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(name: str) -> SessionCounts:
        return RedisSessionCounts(redis_server.url_of(9), prefix="mddscounts", gateway=name)

    run(make, counts_of_all)
    monkeypatch.setattr(redis_sessions, "LIFE_MS", 1_000)

    async def of_a_killed_gateway(make: Make) -> None:
        killed, other = make("killed"), make("other")
        await killed.take(WHO, Held(3, 5_000_000), limit=3)
        assert (await other.take(WHO, Held(1, 6_000_000), limit=3)).sessions == 3
        await asyncio.sleep(1.3)
        assert await other.take(WHO, Held(1, 6_000_000), limit=3) == Elsewhere()
        redis_server.kill()
        try:
            for asked in (other.take(WHO, Held(1, 0), limit=3), other.tell({WHO: Held(1, 0)})):
                with pytest.raises(CountsDown):
                    await asked
        finally:
            redis_server.start()
        await other.tell({WHO: Held(2, 0)})
        assert (await killed.take(WHO, Held(1, 0), limit=3)).sessions == 2
        for door in (killed, other):
            await door.leave()

    run(make, of_a_killed_gateway)


class Gateway:
    """The counting half of one."""

    def __init__(self, make: Make, name: str) -> None:
        self.counts = make(name)
        self.local = LocalSessions()
        self.sent: list[dict[str, Any]] = []
        self.shared = SharedSessions(self.counts, local=self.local, send=self._send)
        self.task = asyncio.ensure_future(self.shared.run())

    async def _send(self, group: str, message: dict[str, Any]) -> None:
        assert group == shared_sessions.GROUP
        self.sent.append(message)

    def opens(self, name: str, opened_ns: int = 1) -> Any:
        seat = cast_seat(name, opened_ns)
        self.local.add(WHO, seat)
        return seat


def cast_seat(name: str, opened_ns: int) -> Any:
    class Session:
        pass

    class Seat:
        session: Any = Session()

    seat = Seat()
    seat.session = Session()
    seat.session.name, seat.session.opened_ns = name, opened_ns
    return seat


async def until(true: Callable[[], Any], what: str) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"waited in vain: {what}")


def test_what_changes_here_is_told_and_what_ends_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_sessions, "TELL_S", 0.02)

    async def scenario(make: Make) -> None:
        one, two = Gateway(make, "one"), Gateway(make, "two")
        table = one.counts.table  # type: ignore[attr-defined]
        first, _second = one.opens("a", 5), one.opens("b", 6)
        await until(lambda: table["one"].get(WHO) == Held(2, 5), "both are told")
        assert await two.shared.elsewhere(ALICE, takeover=False) == Elsewhere(2, "one", 5)
        one.local.remove(WHO, first)
        await until(lambda: table["one"].get(WHO) == Held(1, 6), "the older one is gone")
        # A login that asked and then never came: what it noted is taken back.
        await until(lambda: WHO not in table["two"], "a login that came to nothing")
        assert await two.shared.elsewhere(cast.stranger(), takeover=False) == Elsewhere(), "without a key: by address"
        two.shared.end_oldest(Elsewhere(1, "one", 6), ALICE)
        await until(lambda: two.sent, "the take-over is said")
        assert two.sent == [{"type": "session.take_over", "gateway": "one", "subscriber": WHO}]
        one.task.cancel()
        await asyncio.gather(one.task, return_exceptions=True)
        assert await two.shared.elsewhere(ALICE, takeover=False) == Elsewhere()
        two.task.cancel()
        await asyncio.gather(two.task, return_exceptions=True)

    run(in_memory(), scenario)


def test_while_the_counts_are_away_each_counts_for_itself_and_tells_what_it_has_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_sessions, "TELL_S", 0.02)
    monkeypatch.setattr(shared_sessions, "RETRY_S", 0.1)
    monkeypatch.setattr(shared_sessions, "RENEW_S", 0.1)

    async def scenario(make: Make) -> None:
        one, two = Gateway(make, "one"), Gateway(make, "two")
        gone = one.opens("a", 5)
        table = one.counts.table  # type: ignore[attr-defined]
        await until(lambda: WHO in table["one"], "told")
        one.counts.down = two.counts.down = True  # type: ignore[attr-defined]
        assert await two.shared.elsewhere(ALICE, takeover=False) == Elsewhere()
        assert not two.shared.up
        one.local.remove(WHO, gone)
        for name in "bcd":
            one.opens(name, 7)
        await until(lambda: not one.shared.up, "noticed")
        for held in table.values():  # emptied, as a Redis that was killed
            held.clear()
        one.counts.down = two.counts.down = False  # type: ignore[attr-defined]
        await until(lambda: table["one"].get(WHO) == Held(3, 7), "told again")
        await until(lambda: two.shared.up, "back")
        assert (await two.shared.elsewhere(ALICE, takeover=False)).sessions == 3
        for each in (one, two):
            each.task.cancel()
            await asyncio.gather(each.task, return_exceptions=True)

    run(in_memory(), scenario)
