"""RAW messages that the broker confirmed and lost: asked for, sent again by a publisher that goes back, or jumped over
visibly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from feeds.bus.base import BusDown, Delivery
from feeds.bus.memory import MemoryBus
from feeds.capture.cursor import Cursor
from feeds.capture.earlier import RECENT_MAX, Earlier
from feeds.capture.raw_stage import RawMessage
from feeds.journal import Position
from feeds.parser import turns
from feeds.parser.context import Context
from feeds.parser.counts import ParserCounts
from feeds.parser.turns import HELD_MESSAGES_MAX, UNACKED_WHILE_HELD_MAX, Turns, again_key, went_key
from tests.feeds.buses import take, until
from tests.feeds.test_partition_parser import RAW, bus_and_reader, numbers, parser_on, publish

KEY = "raw.live.0"  # of the checkpoint


def renamed(messages: Sequence[RawMessage], publisher: str, *, first: int = 1, **headers: str) -> list[RawMessage]:
    """The same blocks as another chain."""
    return [
        RawMessage(m.partition, m.body, {**m.headers, "pub": publisher, "no": first + at, **headers})
        for at, m in enumerate(messages)
    ]


async def asked(bus: MemoryBus) -> dict[str, object]:
    """The request that a parser leaves for the publishers."""
    async with asyncio.timeout(20):
        while (body := await bus.retained(again_key("KRX"))) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    value: dict[str, object] = json.loads(body)
    return value


def events(deliveries: Sequence[Delivery]) -> list[str]:
    """What the status records of PARSED messages say, trades by their sequence."""
    records = [json.loads(line) for d in deliveries for line in d.body.split(b"\n")]
    return [r["event"] if r["ch"] == "status" else str(r["q"]) for r in records if r["ch"] in ("status", "trade")]


async def test_what_was_lost_is_asked_for_and_comes_in_order(tmp_path: Path) -> None:
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, [*RAW[:3], *RAW[5:7]])  # 4 and 5 are lost
        request = await asked(bus)
        assert (request["held"], request["chains"], request["partition"]) == (["p1"], {"p1": 3}, 0)
        await publish(bus, renamed(RAW[2:], "p1.1", **{"from": "p1:2"}))
        assert numbers(await take(reader, 8))[3:] == [(7, 4), (9, 5), (11, 6), (13, 7), (15, 8)]
        assert not parser.turns.held
    counts = parser.pipeline.counts
    assert (counts.jumps, counts.filled, counts.records, counts.duplicates) == (0, 1, 16, 1)


async def test_a_chain_that_begins_too_late_for_us_is_not_taken(tmp_path: Path) -> None:
    """A publisher that went back for another partition has left out what we need: it is asked again."""
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, [*RAW[:2], RAW[5]])
        await publish(bus, renamed(RAW[4:], "p1.1", **{"from": "p1:4"}))
        await until(lambda: len(parser.turns.held) == 2)
        await publish(bus, renamed(RAW[2:], "p1.2", **{"from": "p1:2"}))
        assert [q for _, q in numbers(await take(reader, 8))] == list(range(1, 9))
    assert parser.pipeline.counts.jumps == 0


async def test_a_new_publisher_waits_until_what_its_predecessor_lost_is_here(tmp_path: Path) -> None:
    """Taken at once, its messages would make the lost ones look old."""
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, [*RAW[:2], RAW[3]])
        await until(lambda: len(parser.turns.held) == 1)
        await publish(bus, renamed(RAW[4:6], "p2"))
        await until(lambda: len(parser.turns.held) == 2)
        await publish(bus, renamed(RAW[2:], "p2.1", **{"from": "p1:2"}))
        assert [q for _, q in numbers(await take(reader, 8))] == list(range(1, 9))
    assert parser.pipeline.counts.jumps == 0


async def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The jump is a record, the market is suspect until its next images, what is held is not lost."""
    monkeypatch.setattr(turns, "JUMP_S", 0.4)
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, [*RAW[:3], RAW[5], RAW[6]])
        said = await take(reader, 6)
        assert events(said)[-6:] == ["3", "jump", "suspect", "6", "healed", "7"]
        jump = json.loads(said[3].body.split(b"\n")[0])
        assert (jump["s"], jump["messages"], jump["first"], jump["last"]) == ("feed:KRX.0", 2, 4, 5)
        assert jump["reached"] == {"STO.market": 3}
        await publish(bus, [RAW[7]])
        assert [q for _, q in numbers(await take(reader, 1))] == [8]
        firsts = [(int(d.headers["first"]), d.body.count(b"\n") + 1) for d in said]
        assert all(a + n == b for (a, n), (b, _) in pairwise(firsts)), "contiguous in the headers"
    counts = parser.pipeline.counts
    assert (counts.jumps, counts.jumped) == (1, 2)


async def test_what_is_given_up_is_kept_before_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock decides it. A successor that began before the decision would make other records of the same numbers."""
    monkeypatch.setattr(turns, "JUMP_S", 0.4)
    bus, reader = await bus_and_reader(tmp_path / "one")
    retain, kept = bus.retain, list[bytes]()

    async def away(key: str, body: bytes) -> None:
        if key == KEY and b'"jumps":{"p1"' in body:
            kept.append(body)
            if len(kept) < 4:
                raise BusDown("the broker is away")
        await retain(key, body)

    monkeypatch.setattr(bus, "retain", away)
    async with parser_on(bus, "one"):
        await publish(bus, [*RAW[:3], RAW[5], RAW[6]])
        before = await take(reader, 3)
        await until(lambda: len(kept) == 2)
        assert reader.get_nowait() is None, "not kept, not said"
        after = await take(reader, 3)
    assert events([*before, *after])[-6:] == ["3", "jump", "suspect", "6", "healed", "7"]

    bus, reader = await bus_and_reader(tmp_path / "two")
    await bus.retain(KEY, kept[-1])
    async with parser_on(bus, "two"):
        await publish(bus, [RAW[5], RAW[6]])  # what was not acknowledged comes again
        assert [d.body for d in await take(reader, 3)] == [d.body for d in after]


async def test_nothing_is_given_up_while_nobody_can_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "JUMP_S", 1.0)
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        retain, refused = bus.retain, []

        async def away(key: str, body: bytes) -> None:
            if key == again_key("KRX"):
                refused.append(key)
                raise BusDown("the broker is away")
            await retain(key, body)

        monkeypatch.setattr(bus, "retain", away)
        await publish(bus, [*RAW[:3], *RAW[5:7]])
        await take(reader, 3)
        await until(lambda: len(refused) >= 4)
        assert parser.pipeline.counts.jumps == 0
        monkeypatch.setattr(bus, "retain", retain)
        await until(lambda: parser.pipeline.counts.jumps == 1)


async def test_an_answer_behind_a_backlog_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher has said that it has gone back: nothing is given up, and it is not asked to start over."""
    monkeypatch.setattr(turns, "ASK_AGAIN_S", 0.2)
    monkeypatch.setattr(turns, "JUMP_S", 2.0)
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, [*RAW[:3], *RAW[5:7]])
        request = await asked(bus)
        await bus.retain(went_key("KRX"), json.dumps({"0": request["at"]}).encode())
        await asyncio.sleep(2.5)
        assert (parser.pipeline.counts.jumps, parser.pipeline.counts.asked) == (0, 1)
        await publish(bus, renamed(RAW[2:], "p1.1", **{"from": "p1:2"}))
        assert [q for _, q in numbers(await take(reader, 8))] == list(range(1, 9))
    assert parser.pipeline.counts.jumps == 0


@pytest.mark.parametrize("answer", [b'{"1": 9999999999999999999}', b'{"0": 1}', b"[]", b"?"])
async def test_an_answer_to_another_request_is_none(
    answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "ASK_AGAIN_S", 0.1)
    monkeypatch.setattr(turns, "JUMP_S", 2.0)
    bus, _reader = await bus_and_reader(tmp_path)
    await bus.retain(went_key("KRX"), answer)
    async with parser_on(bus, "one") as parser:
        await publish(bus, [*RAW[:3], *RAW[5:7]])
        await until(lambda: parser.pipeline.counts.jumps == 1)
        assert parser.pipeline.counts.asked >= 2


async def test_an_answer_that_never_comes_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "ASK_AGAIN_S", 0.1)
    monkeypatch.setattr(turns, "ANSWER_AGAIN_S", 0.5)
    monkeypatch.setattr(turns, "ANSWER_S", 3.5)
    bus, _reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, [*RAW[:3], *RAW[5:7]])
        await bus.retain(went_key("KRX"), json.dumps({"0": (await asked(bus))["at"]}).encode())
        await until(lambda: parser.pipeline.counts.jumps == 1)
        assert parser.pipeline.counts.asked >= 2, "after a while it is asked once more"


async def test_an_unknown_publisher_above_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker's data were wiped while publishers went on: the second of a pair is not dropped for ever."""
    monkeypatch.setattr(turns, "JUMP_S", 0.4)
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, RAW[:3])
        await take(reader, 3)
        await publish(bus, renamed(RAW[5:7], "other", first=40))
        said = await take(reader, 3)
        assert [word for word in events(said) if word.isdigit()] == ["6", "7"]
        jump = json.loads(said[0].body.split(b"\n")[0])
        assert (jump["publisher"], jump["first"], jump["last"]) == ("other", 1, 39)
    assert parser.pipeline.counts.jumps == 1


async def test_a_late_copy_of_what_was_jumped_over_is_a_late_trade(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "JUMP_S", 0.4)
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, [*RAW[:3], *RAW[5:7]])
        await take(reader, 6)
        await publish(bus, renamed(RAW[3:5], "other"))
        assert [q for _, q in numbers(await take(reader, 2))] == [4, 5]
    assert (parser.pipeline.counts.late, parser.pipeline.counts.late_images) == (2, 2)


async def test_what_is_held_is_not_acknowledged(tmp_path: Path) -> None:
    """A parser that dies while it holds something leaves it to its successor."""
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, [RAW[0], RAW[2]])
        await until(lambda: bool(parser.turns.held))
    async with parser_on(bus, "two"):
        await publish(bus, [RAW[1]])
        assert [q for _, q in numbers(await take(reader, 3))] == [1, 2, 3]


def test_the_bounds_of_what_is_held() -> None:
    context, counts = Context("live", "KRX"), ParserCounts()
    context.chains["p1"] = 1
    held = Turns(counts)
    for number in range(3, HELD_MESSAGES_MAX + 5):
        assert not held.take(context, Delivery(b"x", {"pub": "p1", "no": number}, 1, number), 0.0)
    assert counts.not_held == 2
    for number in range(
        1, UNACKED_WHILE_HELD_MAX - held.passed + 1
    ):  # another publisher goes on; nothing of it can be acknowledged
        assert not held.fills_the_window()
        context.chains.setdefault("p2", 0)
        assert held.take(context, Delivery(b"x", {"pub": "p2", "no": number}, 1, 0), 1.0)
    assert held.fills_the_window(), "near the prefetch, past which nothing more would come"
    assert not held.fills_the_window()
    assert (held.overdue(1.0), held.overdue(99.0)) == (None, ("live", "KRX", "p1"))


def cursor(offset: int) -> Cursor:
    return Cursor(Position("20261120-0001.mdj", offset), {"streams": []})


def test_a_successor_finds_the_cursors_of_the_publisher_before_it(tmp_path: Path) -> None:
    path = tmp_path / "publisher.earlier"
    first = Earlier(path)
    first.begin(0, (":0", ":0"), Cursor(Position("", 0), None))
    for second in range(1, 11):
        first.note(second * 2_000_000_000, (f"a:{second * 5}", ":0"), cursor(second))
    with path.open("a") as file:
        file.write('[99,["a')  # torn
    successor = Earlier(path)
    successor.begin(1, ("a:50", ":0"), cursor(11))
    successor.note(2, ("b:3", "b:1"), cursor(12))
    found = successor.find(0, {"a": 34})
    assert found is not None
    assert found.cursor.position.offset == 3  # of 6, with the margin for the other partitions
    assert found.reached == ("a:15", ":0")
    newest = successor.find(0, {"b": 3, "a": 50})
    assert newest is not None
    assert newest.cursor.position.offset == 8
    assert successor.find(0, {}) == (0, (":0", ":0"), Cursor(Position("", 0), None))


def test_a_publisher_without_a_past_cannot_go_back_before_it(tmp_path: Path) -> None:
    earlier = Earlier(tmp_path / "publisher.earlier")
    earlier.begin(1, ("a:50",), cursor(11))
    assert earlier.find(0, {"a": 40}) is None
    assert earlier.find(0, {"a": 50}) is not None


def test_cursors_are_thinned_out_not_forgotten(tmp_path: Path) -> None:
    earlier = Earlier(tmp_path / "publisher.earlier")
    earlier.begin(0, (":0",), Cursor(Position("x", 1), {}))
    for second in range(1, 1_500):
        earlier.note(second * 1_000_000_000, (f"a:{second}",), cursor(second))
    assert (len(earlier.recent), len(earlier.old)) == (RECENT_MAX, 23)
    for known in (earlier, Earlier(tmp_path / "publisher.earlier")):
        found = known.find(0, {"a": 400})
        assert found is not None
        assert 100 < found.cursor.position.offset <= 400


async def test_a_successor_of_a_publisher_says_what_it_follows(tmp_path: Path) -> None:
    """The queue is deleted, the publisher dies: the next one begins at 1, and still what was lost is seen."""
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, RAW[:3])
        await publish(bus, renamed(RAW[5:7], "p2", **{"from": "p1:5"}))
        request = await asked(bus)
        assert (request["held"], request["chains"]) == (["p2"], {"p1": 3})
        await publish(bus, renamed(RAW[2:], "p2.1", **{"from": "p1:2"}))
        assert [q for _, q in numbers(await take(reader, 8))] == list(range(1, 9))
    assert parser.pipeline.counts.jumps == 0
