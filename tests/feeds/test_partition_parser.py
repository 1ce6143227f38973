"""One partition's parser on a bus: repeats and early messages dropped by their numbers, takeover without loss or gap in
the record numbers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from feeds.bus.base import Bus, Delivery, Outgoing, Subscription
from feeds.bus.memory import MemoryBus
from feeds.capture.raw_stage import RawMessage
from feeds.parser.control import STATES_KEY
from feeds.parser.counts import ParserCounts
from feeds.parser.partition import PartitionParser
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator
from tests.feeds.buses import take, until
from tests.feeds.data_path import DataPath
from tests.feeds.wire import trade


def raw(count: int) -> list[RawMessage]:
    """`count` RAW messages of one trade each."""
    path = DataPath(partitions=1)
    for n in range(1, count + 1):
        path.arrive(trade(n))
        path.parse()
    return path.raw


RAW = raw(8)


@asynccontextmanager
async def parser_on(bus: Bus, owner: str) -> AsyncIterator[PartitionParser]:
    """A parser that runs until the block ends; then it makes its last checkpoint."""
    pipeline = Pipeline(0, {}, translator=Translator(), counts=ParserCounts())
    parser = PartitionParser(bus, pipeline, owner, replay=False, learned=lambda _records: None)
    stop = asyncio.Event()
    running = asyncio.create_task(parser.run(stop))
    yield parser
    stop.set()
    await running


async def publish(bus: Bus, messages: Sequence[RawMessage]) -> None:
    outbox = bus.raw_outbox()
    for message in messages:
        await outbox.put(Outgoing(*message))


def numbers(deliveries: Sequence[Delivery]) -> list[tuple[int, int]]:
    """(number of the first record, source sequence) of PARSED messages."""
    return [(int(d.headers["first"]), json.loads(d.body.split(b"\n")[0])["q"]) for d in deliveries]


async def bus_and_reader(folder: Path) -> tuple[MemoryBus, Subscription]:
    bus = MemoryBus(folder, 1)
    await bus.open()
    return bus, bus.consume_parsed("reader")


async def test_go_back_n_is_undone(tmp_path: Path) -> None:
    """The publisher offers 4..8 again after a refusal of 4 that did not hold 5 and 6 back."""
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, [*RAW[:3], RAW[4], RAW[5], RAW[3], RAW[4], RAW[5], RAW[5], RAW[6], RAW[7]])
        assert numbers(await take(reader, 8)) == [(2 * n - 1, n) for n in range(1, 9)]
        await until(lambda: parser.pipeline.counts.repeated == 3)
    counts = parser.pipeline.counts
    assert (counts.out_of_order, counts.repeated, counts.duplicates, counts.records) == (2, 3, 0, 16)


async def test_a_successor_goes_on_with_numbers_and_order(tmp_path: Path) -> None:
    """F29: what was parsed and not acknowledged comes again and is the same; an early message is still seen as one."""
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as first:
        await publish(bus, RAW[:4])
        before = await take(reader, 4)
    async with parser_on(bus, "two") as second:
        await publish(bus, [RAW[3], RAW[5], RAW[4], RAW[5], RAW[6]])
        after = await take(reader, 3)
        await until(lambda: second.pipeline.counts.out_of_order == 1)
    assert numbers([*before, *after]) == [(2 * n - 1, n) for n in range(1, 8)]
    assert {d.headers["run"] for d in [*before, *after]} == {first.run_id}
    assert (second.pipeline.counts.repeated, second.pipeline.counts.duplicates) == (2, 0)


async def test_a_killed_parser_leaves_what_its_successor_says_again(tmp_path: Path) -> None:
    """No last checkpoint: the same records come a second time with the same numbers, byte for byte."""
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as first:
        await publish(bus, RAW[:2])
        await take(reader, 2)
    killed = Pipeline(0, {}, translator=Translator(), counts=ParserCounts())
    dying = PartitionParser(bus, killed, "dying", replay=False, learned=lambda _records: None)
    running = asyncio.create_task(dying.run(asyncio.Event()))
    await publish(bus, RAW[2:5])
    said = await take(reader, 3)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await dying.subscription.close()  # what a broker does with a dead connection's deliveries
    async with parser_on(bus, "three"):
        again = await take(reader, 3)
    assert [d.body for d in again] == [d.body for d in said]
    assert [d.headers["first"] for d in again] == [d.headers["first"] for d in said] == [5, 7, 9]
    assert {d.headers["run"] for d in again} == {first.run_id}


async def test_a_bad_block_harms_itself_only(tmp_path: Path) -> None:
    bus, reader = await bus_and_reader(tmp_path)
    broken = RawMessage(0, RAW[1].body[:-3] + b"xyz", RAW[1].headers)
    async with parser_on(bus, "one") as parser:
        await publish(bus, [RAW[0], broken, RAW[2]])
        assert numbers(await take(reader, 2)) == [(1, 1), (3, 3)]
    assert parser.pipeline.counts.bad_blocks == 1


async def test_the_feeds_state_is_kept_for_gateways_that_start_later(tmp_path: Path) -> None:
    path = DataPath(partitions=1)
    path.arrive(trade(1))
    path.stage.state_changed({"event": "state", "state": "stale"})
    path.parse()
    bus, reader = await bus_and_reader(tmp_path)
    async with parser_on(bus, "one") as parser:
        await publish(bus, path.raw)
        await take(reader, 1)
        await until(lambda: bool(parser._states))
    kept = json.loads(await bus.retained(STATES_KEY) or b"{}")
    assert json.loads(kept["KRX"])["state"] == "stale"
