"""Bars closed by the exchange's clock: the same records on every gateway, whenever it looked at the clock."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.gateway.bar_clock import BarClock, minute_at
from subscriptions.gateway.bar_maker import BarMaker
from subscriptions.gateway.following import Member
from subscriptions.gateway.heads import HEAD
from subscriptions.gateway.history import History
from subscriptions.gateway.hub import Hub
from subscriptions.gateway.outbox import Outbox
from subscriptions.gateway.views import View
from tests.gateway import cast
from tests.gateway.running import Client, RunningGateway, running

BASE_S = 2 * 3_600 + 15 * 60  # 02:15


def stamp(second: int) -> str:
    at = BASE_S + second
    return f"2026-11-20T{at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d}.000Z"


def trade(number: int, second: int, board: str = "G1", symbol: str = "FPT", **members: Any) -> bytes:
    return cast.record("trade", symbol, number, ts=stamp(second), bd=board, p=100 + number, v=10, **members)


def brief(records: list[bytes] | list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """(n, board, minute, trades, closed)."""
    rows = [json.loads(one) if isinstance(one, bytes) else one for one in records]
    return [(one["n"], one["bd"], one["start"][14:16], one["trades"], one["closed"]) for one in rows]


def made(maker: BarMaker, number: int, second: int, board: str = "G1") -> list[tuple[object, ...]]:
    return brief([record for _, record, _ in maker.make(number, trade(number, second, board), (None, b""))])


def closed(maker: BarMaker, minute: str) -> list[tuple[object, ...]]:
    return brief([record for _, record, _ in maker.close_until(f"2026-11-20T02:{minute}".encode())])


def test_minutes_are_over_two_seconds_later() -> None:
    times = ["02:16:00", "02:16:01.999Z", "02:16:02.000Z", "02:16:60.5Z", "00:00:01Z"]
    minutes = [minute_at(b"2026-11-20T" + one.encode()) for one in times]
    assert minutes == [
        b"2026-11-20T02:15", b"2026-11-20T02:15", b"2026-11-20T02:16", b"2026-11-20T02:16", b"2026-11-19T23:59",
    ]  # fmt: skip


def test_a_bar_closes_without_a_further_trade_under_the_number_the_next_one_would_give() -> None:
    by_clock, by_trade = BarMaker(None), BarMaker(None)
    for maker in (by_clock, by_trade):
        assert made(maker, 1, 10) == [(2, "G1", "15", 1, False)]
    assert closed(by_clock, "15") == []
    assert closed(by_clock, "16") == [(3, "G1", "15", 1, True)]
    assert closed(by_clock, "17") == []
    assert made(by_clock, 2, 130) == [(4, "G1", "17", 1, False)]
    assert made(by_trade, 2, 130) == [(3, "G1", "15", 1, True), (4, "G1", "17", 1, False)]


def test_boards_share_the_odd_numbers() -> None:
    maker = BarMaker(None)
    made(maker, 1, 10, "T1")
    made(maker, 2, 20)
    assert closed(maker, "16") == [(5, "G1", "15", 1, True)]  # the first board; the other one waits for a number
    assert closed(maker, "17") == []
    assert made(maker, 3, 130) == [(6, "G1", "17", 1, False), (7, "T1", "15", 1, True)]
    assert closed(maker, "18") == []
    assert made(maker, 4, 190) == [(8, "G1", "18", 1, False), (9, "G1", "17", 1, True)]


def test_a_trade_behind_the_clock_is_added_and_the_event_sent_again() -> None:
    maker = BarMaker(None)
    made(maker, 1, 10)
    assert closed(maker, "17") == [(3, "G1", "15", 1, True)]
    assert made(maker, 2, 50) == [(4, "G1", "15", 2, True)]
    assert made(maker, 3, 100) == [(6, "G1", "16", 1, False), (7, "G1", "16", 1, True)]  # the clock is past its minute


def test_a_torn_minute_has_no_bar_whatever_closes_it() -> None:
    maker = BarMaker(None)
    assert made(maker, 8, 10) == []
    assert closed(maker, "16") == []
    assert made(maker, 9, 65) == [(18, "G1", "16", 1, False)]
    assert closed(maker, "17") == [(19, "G1", "16", 1, True)]


def test_a_filter_on_boards_is_deaf_to_the_others() -> None:
    history = History()
    lines = [trade(1, 10, "T1"), trade(2, 20), trade(3, 30, "T1"), trade(4, 70, "T1")]
    history.extend((number, line, None, 1) for number, line in enumerate(lines, start=1))
    maker = BarMaker(history, b"2026-11-20T02:18", ("G1",))
    assert brief(maker.images(4, {})) == [(5, "G1", "15", 1, True)]
    assert maker.newest == 5
    assert made(maker, 9, 250) == [(18, "G1", "19", 1, False)]


STEPS = st.lists(
    st.tuples(st.integers(0, 100), st.sampled_from(["G1", "T1", "G4"]), st.lists(st.integers(0, 99), max_size=3)),
    max_size=30,
)


@given(steps=STEPS, end_s=st.integers(0, 400))
def test_when_a_gateway_looked_at_the_clock_changes_nothing(
    steps: list[tuple[int, str, list[int]]], end_s: int
) -> None:
    """Between two trades other records tell any times between theirs; a gateway that makes the records again from its
    history sees none of them."""
    looking, remaking = BarMaker(None), BarMaker(None)
    seen: list[tuple[int, bytes, bool]] = []
    again: list[tuple[int, bytes, bool]] = []
    at_s = 0
    for number, (pause_s, board, looks) in enumerate(steps, start=1):
        for share in sorted(looks):
            seen += looking.close_until(minute_at(stamp(at_s + pause_s * share // 100).encode()))
        at_s += pause_s
        seen += looking.make(number, trade(number, at_s, board), (None, b""))
        again += remaking.make(number, trade(number, at_s, board), (None, b""))
    end = minute_at(stamp(at_s + end_s).encode())
    seen += looking.close_until(end)
    again += remaking.close_until(end)
    assert [one[:2] for one in seen] == [one[:2] for one in again]
    numbers = [one[0] for one in seen]
    assert numbers == sorted(set(numbers))
    assert [n for n in numbers if n % 2 == 0] == [2 * k for k in range(1, len(steps) + 1)]
    assert looking.newest == remaking.newest == (numbers[-1] if numbers else 0)
    over = [row for row in brief([one[1] for one in seen]) if row[4]]
    assert len({row[1:3] for row in over}) == len(over), "a bar closes once"


def test_the_clock_is_the_markets_own_and_of_its_epoch() -> None:
    clock = BarClock()

    def note(second: int, origin: str = "live", **members: Any) -> bytes | None:
        line = trade(1, second, **members)
        head = HEAD.match(line)
        assert head is not None
        return clock.note(origin, head, line)

    assert [note(10), note(50), note(62), note(20)] == [b"2026-11-20T02:15", None, b"2026-11-20T02:16", None]
    assert note(10, m="STX") == b"2026-11-20T02:15"
    assert note(10, "replay:1") == b"2026-11-20T02:15"
    assert note(10, "replay:1", ep="20261120-2") == b"2026-11-20T02:15"  # it was led back
    assert note(200, "replay:1", ep="20261120-1") is None  # of before that
    assert clock.minute("live", b"STO") == b"2026-11-20T02:16"
    clock.forget("live")
    assert (clock.minute("live", b"STO"), clock.minute("replay:1", b"STO")) == (b"", b"2026-11-20T02:15")
    ours = cast.record("status", "feed:HSX", 1, bd=None, mt="gap", ts=stamp(600))
    head = HEAD.match(ours)
    assert head is not None
    assert clock.note("replay:1", head, ours) is None


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with running(tmp_path) as one:
        yield one


def bars(gateway: RunningGateway, **members: Any) -> tuple[Client, Any]:
    client = gateway.connect()
    assert client.frame()["t"] == "welcome"
    client.subscribe("bar", "FPT", **members)
    return client, client.frame() if "resume" in members else None


def numbers(records: list[dict[str, Any]]) -> list[tuple[int, int, bool]]:
    return [(one["n"], one["pn"], one["closed"]) for one in records]


def test_another_symbols_records_close_the_bar_of_a_quiet_one(gateway: RunningGateway) -> None:
    client, _ = bars(gateway)
    gateway.publish(trade(1, 10), trade(1, 20, symbol="VNM"))
    assert numbers(client.records(1)) == [(2, 0, False)]
    gateway.publish(cast.record("depth", "VNM", 1, ts=stamp(61), b=[], a=[]))  # too early to say
    gateway.publish(cast.record("depth", "SHS", 1, ts=stamp(90), m="STX", b=[], a=[]))  # another market
    gateway.publish(cast.record("depth", "VNM", 2, ts=stamp(62), b=[], a=[]))
    assert numbers(client.records(1)) == [(3, 2, True)]
    gateway.publish(trade(2, 130))
    assert numbers(client.records(1)) == [(4, 3, False)]
    back, answer = bars(gateway, resume={"FPT": [cast.EPOCH, 2]})
    assert answer == {"t": "resumed", "sid": 1, "s": "FPT", "from": 3}
    assert numbers(back.records(2)) == [(3, 2, True), (4, 3, False)]


def test_a_close_that_came_while_a_client_was_away_is_resumed(gateway: RunningGateway) -> None:
    first, _ = bars(gateway)
    gateway.publish(trade(1, 10))
    first.records(1)
    first.socket.close()
    gateway.until(lambda: not gateway.layer.seats, "nobody is there")
    gateway.publish(cast.record("depth", "VNM", 1, ts=stamp(200), b=[], a=[]))
    back, answer = bars(gateway, resume={"FPT": [cast.EPOCH, 2]})
    assert answer == {"t": "resumed", "sid": 1, "s": "FPT", "from": 3}
    assert numbers(back.records(1)) == [(3, 2, True)]
    whole, answer = bars(gateway, resume={"FPT": [cast.EPOCH, 3]})
    assert answer == {"t": "resumed", "sid": 1, "s": "FPT", "from": 4}
    gateway.publish(trade(2, 201))
    assert [numbers(client.records(1)) for client in (back, whole)] == [[(4, 3, False)]] * 2


def test_who_waits_for_a_slower_gateway_hears_of_the_close(gateway: RunningGateway) -> None:
    gateway.publish(trade(1, 20, symbol="VNM"), trade(1, 10, "T1"))
    client, answer = bars(gateway, resume={"FPT": [cast.EPOCH, 4]})
    assert answer == {"t": "resumed", "sid": 1, "s": "FPT", "from": 5}
    gateway.publish(trade(2, 21))
    gateway.publish(trade(2, 70, symbol="VNM"))
    assert [(one["n"], one["bd"], one["closed"]) for one in client.records(1)] == [(5, "G1", True)]
    gateway.publish(trade(3, 75))
    assert [(one["n"], one["pn"], one["bd"], one["closed"]) for one in client.records(2)] == [
        (6, 5, "G1", False), (7, 6, "T1", True),
    ]  # fmt: skip


def test_a_conflated_bar_ends_with_its_event() -> None:
    hub, outbox = Hub(), Outbox(1 << 20)
    hub.add_member(Member("m", outbox, lambda *_: 0))
    hub.join("m", "live", "FPT", view=View("bar", conflate_ms=1000))
    lines = [trade(1, 10), trade(2, 11), trade(3, 12, "T1"), trade(1, 70, symbol="VNM")]
    hub.publish(b"\n".join(lines))
    assert outbox.pending == []
    hub.close_bars()
    hub.flush_bucket(1000)
    records = [json.loads(line) for line in outbox.pending]  # T1's image, before the event that is above it in number
    assert [(one["n"], one["pn"], one["cn"], one["bd"], one["c"], one["closed"]) for one in records] == [
        (6, 0, 1, "T1", 103, False), (7, 6, 1, "G1", 102, True),
    ]  # fmt: skip


def test_a_replay_closes_by_its_own_records(gateway: RunningGateway) -> None:
    live, _ = bars(gateway)

    async def admit(session: Any, operation: Any) -> None:
        """Every job is there."""

    gateway.worker.replays.admit = admit  # type: ignore[method-assign]
    replayed = gateway.connect()
    replayed.frame()
    assert replayed.subscribe("bar", "FPT", origin="replay:5")["ok"] == ["FPT"]
    gateway.publish(trade(1, 3_600))
    gateway.publish(trade(1, 10, job="replay:5"), origin="replay:5")
    gateway.publish(trade(1, 3_670, symbol="VNM"))
    assert numbers(live.records(2)) == [(2, 0, False), (3, 2, True)]
    gateway.publish(trade(1, 40, symbol="VNM", job="replay:5"), origin="replay:5")
    gateway.publish(trade(2, 63, symbol="VNM", job="replay:5"), origin="replay:5")
    assert numbers(replayed.records(2)) == [(2, 0, False), (3, 2, True)]


def test_a_gateway_that_began_to_look_later_sends_the_same(tmp_path: Path) -> None:
    """One client from the start at one gateway, the other subscribes at another one behind the closing."""
    lines = [trade(1, 10), trade(2, 20), trade(1, 70, symbol="VNM"), trade(3, 80), trade(2, 130, symbol="VNM")]
    found = []
    for name, early in (("a", True), ("b", False)):
        with running(tmp_path / name) as one:
            client = bars(one)[0] if early else None
            for line in lines:
                one.publish(line)
            one.until(lambda one=one: one.layer.hub.records_in == len(lines), "all came")  # type: ignore[misc]
            if client is None:
                client, answer = bars(one, resume={"FPT": [cast.EPOCH, 2]})
                assert answer["t"] == "resumed"
                found.append(client.records(4))
            else:
                found.append(client.records(5)[1:])
    assert found[0] == found[1]
    assert numbers(found[0]) == [(4, 2, False), (5, 4, True), (6, 5, False), (7, 6, True)]
