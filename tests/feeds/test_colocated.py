"""A publisher with its parsers beside it says what parsers of their own say, also after it was cut off anywhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from feeds.bus.base import Bus, Delivery, Subscription
from feeds.bus.memory import MemoryBus
from feeds.capture.colocated import ColocatedParser
from feeds.capture.publisher import FeedPublisher, PublisherWorker
from feeds.capture.worker import journal_folder
from feeds.config import FeedConfig
from feeds.journal import JournalWriter
from feeds.parser.ownership import disown, mark, own, owner_of
from feeds.parser.partition import PartitionParser
from feeds.parser.worker import ParserWorker
from tests.feeds.buses import until
from tests.feeds.data_path import MS, T0_NS, feed_config
from tests.feeds.golden_messages import FIRST, SECOND, definition
from tests.feeds.wire import book, trade

PARTITIONS = 2
FEED: FeedConfig = feed_config(partitions=PARTITIONS)
MESSAGES = [
    definition(1, FIRST),
    definition(2, SECOND),
    *(trade(n) if n % 2 else book(n, isin="VN000000VNM8") for n in range(3, 23)),
    b"noise",
]


def capture(folder: Path, messages: list[bytes], *, first: int = 0) -> None:
    """Write a journal as a capture would, one datagram a block."""
    writer = JournalWriter(journal_folder(folder, FEED.name), FEED.id, segment_bytes=1 << 20)
    for number, data in enumerate(messages, start=first):
        writer.append([(T0_NS + number * MS, 0, 0, data)])
    writer.close()


@asynccontextmanager
async def running(bus: Bus, folder: Path, *, colocated: bool, killed: bool = False) -> AsyncIterator[ParserWorker]:
    """Publisher and parser, apart or beside each other, stopped at the end or cut off in the middle of it."""
    publisher = PublisherWorker(bus, [FeedPublisher(FEED, bus, data_dir=folder, prefix=folder.name)])
    parser: ParserWorker
    if colocated:
        beside = parser = ColocatedParser(bus, range(PARTITIONS), {}, save=None)
        beside.join(publisher.publishers[0])
    else:
        parser = ParserWorker(bus, range(PARTITIONS), {}, save=None)
    stop = asyncio.Event()
    tasks = [asyncio.create_task(worker.run(stop)) for worker in (publisher, parser)]
    try:
        yield parser
    finally:
        if killed:
            for task in tasks:
                task.cancel()
        stop.set()
        await asyncio.gather(*tasks, return_exceptions=killed)


async def open_bus(folder: Path) -> tuple[MemoryBus, Subscription]:
    bus = MemoryBus(folder, PARTITIONS)
    await bus.open()
    return bus, bus.consume_parsed("reader")


def texts(deliveries: list[Delivery]) -> dict[int, dict[int, str]]:
    """By partition the records by their numbers; fails when one number has two texts. What the clock made is left
    out: the time of a state is another in each run."""
    found: dict[int, dict[int, str]] = {n: {} for n in range(PARTITIONS)}
    for delivery in deliveries:
        of = found[int(delivery.headers["partition"])]
        for number, text in enumerate(delivery.body.decode().split("\n"), start=int(delivery.headers["first"])):
            assert of.setdefault(number, text) == text
    return found


def exchange_records(found: dict[int, dict[int, str]]) -> list[list[str]]:
    """Of each partition in order, without records of our own and without their numbers."""
    said = [[json.loads(of[number]) for number in sorted(of)] for of in found.values()]
    return [[json.dumps(row) for row in of if row["mt"] != "feed"] for of in said]


def rows(found: dict[int, dict[int, str]]) -> int:
    """How many records of the exchange there are."""
    return sum(map(len, exchange_records(found)))


async def all_of(reader: Subscription, worker: ParserWorker, parsed: int) -> list[Delivery]:
    """What was published until `parsed` messages were parsed."""
    await until(lambda: sum(worker.counts.parsed.values()) + sum(worker.counts.dead.values()) >= parsed)
    return arrived(reader)


def arrived(reader: Subscription) -> list[Delivery]:
    """What has come since the last look."""
    found: list[Delivery] = []
    while (delivery := reader.get_nowait()) is not None:
        found.append(delivery)
    return found


async def test_the_same_records_as_apart(tmp_path: Path) -> None:
    said = {}
    for colocated in (False, True):
        folder = tmp_path / str(colocated)
        capture(folder, MESSAGES)
        bus, reader = await open_bus(folder)
        async with running(bus, folder, colocated=colocated) as worker:
            said[colocated] = texts(await all_of(reader, worker, len(MESSAGES)))
        letters = [json.loads(letter) async for letter in bus.dead_letters()]
        assert len(letters) == 1
    assert exchange_records(said[True]) == exchange_records(said[False])
    assert sum(map(len, exchange_records(said[True]))) > len(MESSAGES)


async def test_cut_off_and_exchanged(tmp_path: Path) -> None:
    """Each setting is cut off and followed by each; the numbers go on and no record comes in two texts."""
    capture(tmp_path / "whole", MESSAGES)
    bus, reader = await open_bus(tmp_path / "whole")
    async with running(bus, tmp_path / "whole", colocated=True) as worker:
        whole = texts(await all_of(reader, worker, len(MESSAGES)))

    folder = tmp_path / "cut"
    said: list[Delivery] = []
    settings = [True, True, False, False, True, False]
    share = -(-len(MESSAGES) // len(settings))
    for turn, colocated in enumerate(settings):
        part = MESSAGES[turn * share : (turn + 1) * share]
        bus, reader = await open_bus(folder)
        async with running(bus, folder, colocated=colocated, killed=True) as worker:
            capture(folder, part, first=turn * share)
            said += await all_of(reader, worker, len(part))
    bus, reader = await open_bus(folder)
    async with running(bus, folder, colocated=True):  # what the last one left; a repeat counts as parsed above
        await until(lambda: said.extend(arrived(reader)) or rows(texts(said)) == rows(whole))
    found = texts(said)
    assert [sorted(of) for of in found.values()] == [list(range(1, len(of) + 1)) for of in found.values()]
    assert exchange_records(found) == exchange_records(whole)
    assert len({(d.headers["partition"], d.headers["run"]) for d in said}) == PARTITIONS


async def test_a_clean_stop_leaves_nothing_to_parse_again(tmp_path: Path) -> None:
    capture(tmp_path, MESSAGES)
    bus, reader = await open_bus(tmp_path)
    async with running(bus, tmp_path, colocated=True) as worker:
        await all_of(reader, worker, len(MESSAGES))
    assert list(journal_folder(tmp_path, FEED.name).glob("publisher.raw.*")) == []
    async with running(bus, tmp_path, colocated=True) as worker:
        capture(tmp_path, [trade(23)], first=len(MESSAGES))
        await all_of(reader, worker, 1)
    assert (worker.counts.repeated, worker.counts.duplicates) == (0, 0)


async def test_a_parser_gives_way_to_the_owner_and_comes_back(tmp_path: Path) -> None:
    bus, _reader = await open_bus(tmp_path)
    await own(bus, 0, owner="beside", feeds=["KRX"])
    assert await owner_of(bus, 0) == "beside"
    await disown(bus, [0], feeds=["OTHER"])
    assert await owner_of(bus, 0) == "beside", "another feed's publisher says nothing of it"
    capture(tmp_path, [trade(1)])
    parser = ParserWorker(bus, [0, 1], {}, save=None)
    stop = asyncio.Event()
    parsing = asyncio.create_task(parser.run(stop))
    live: list[PartitionParser] = [one for one in parser.parsers if not one.replay]
    await until(lambda: all(hasattr(one, "subscription") for one in live))
    first = live[0].subscription
    outbox = bus.raw_outbox()
    await outbox.put(mark(0, "beside 1"))
    await until(lambda: live[0].subscription is not first)
    await disown(bus, [0, 1], feeds=["KRX"])
    await until(lambda: live[0]._last is not None)
    stop.set()
    await parsing
