"""What operators do while a publisher parses beside itself: a dead letter put in again, a feed added."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from feeds.bus.base import Delivery, Outgoing, Subscription
from feeds.bus.memory import MemoryBus
from feeds.capture import colocated, publisher_edge
from feeds.capture.colocated import ColocatedParser, ColocatedPartition
from feeds.capture.publisher import FeedPublisher, PublisherWorker
from feeds.capture.publisher_edge import PublisherEdge
from feeds.capture.worker import journal_folder
from feeds.config import FeedConfig
from feeds.dead_letters.choice import letters_of
from feeds.dead_letters.reinjection import prepare
from feeds.journal import JournalWriter
from feeds.parser.translator import Rejected, Translation, Translator
from feeds.parser.worker import ParserWorker
from tests.feeds.buses import until
from tests.feeds.data_path import MS, T0_NS
from tests.feeds.test_colocated import FEED, PARTITIONS, arrived, capture, open_bus, running
from tests.feeds.wire import trade

REFUSED = b"270=098777.0"  # no layout takes it because of the leading zero


def trades(deliveries: list[Delivery], feed: str = FEED.name) -> list[tuple[int, int]]:
    """(source sequence, number) of a feed's trades, each number once."""
    texts = [text for d in deliveries if d.headers["feed"] == feed for text in d.body.decode().split("\n")]
    found: dict[int, int] = {}
    for record in map(json.loads, texts):
        if record["ch"] == "trade":
            assert found.setdefault(record["n"], record["q"]) == record["q"]
    return [(q, n) for n, q in sorted(found.items())]


async def put_in_again(bus: MemoryBus) -> None:
    letters = list(letters_of([text async for text in bus.dead_letters()]))
    prepared = prepare(letters, {FEED.name: FEED}, epochs={}, now_ns=T0_NS)
    assert (len(prepared.letters), prepared.refused) == (1, [])
    await bus.publish_raw([Outgoing(*raw) for raw in prepared.messages])  # confirmed by the next checkpoint


def have_come(said: list[Delivery], reader: Subscription, wanted: int) -> bool:
    said.extend(arrived(reader))
    return len(trades(said)) == wanted


async def checkpointed(worker: ParserWorker) -> None:
    """What has come so far is in a checkpoint."""
    assert isinstance(worker, ColocatedParser)
    await worker._round()


async def test_a_dead_letter_is_put_in_again_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes through the queue, between what the publisher hands over; a successor knows that it has passed."""
    general = Translator.general

    def before_the_fix(translator: Translator, data: bytes) -> Translation:
        if REFUSED in data:
            raise Rejected("UNKNOWN_CODE", data.index(REFUSED), "refused before the fix")
        return general(translator, data)

    monkeypatch.setattr(colocated, "CHECKPOINT_S", 0.05)  # the queue's messages are confirmed by a checkpoint
    bus, reader = await open_bus(tmp_path)
    said: list[Delivery] = []
    with monkeypatch.context() as old:
        old.setattr(Translator, "general", before_the_fix)
        capture(tmp_path, [trade(n, price="098777.0" if n == 3 else "98500.0") for n in range(1, 6)])
        async with running(bus, tmp_path, colocated=True) as worker:
            await until(partial(have_come, said, reader, 4))
            await until(lambda: sum(worker.counts.dead.values()) == 1)
            await checkpointed(worker)
    async with running(bus, tmp_path, colocated=True, killed=True) as worker:
        await put_in_again(bus)
        capture(tmp_path, [trade(6)], first=6)
        await put_in_again(bus)
        await until(partial(have_come, said, reader, 6))
        assert worker.counts.reinjected == 1
        await checkpointed(worker)
    bus, reader = await open_bus(tmp_path)
    async with running(bus, tmp_path, colocated=True) as worker:
        await put_in_again(bus)
        capture(tmp_path, [trade(7)], first=7)
        await until(partial(have_come, said, reader, 7))
    passed = trades(said)
    assert sorted(q for q, _ in passed) == [1, 2, 3, 4, 5, 6, 7]
    assert [n for _, n in passed] == [1, 2, 3, 4, 5, 6, 7]
    assert passed[:4] == [(1, 1), (2, 2), (4, 3), (5, 4)]


async def test_a_feed_that_is_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its publisher joins the parsers of the process while their rounds go on; after a kill both feeds go on."""
    monkeypatch.setattr(publisher_edge, "TURN_S", 0.02)
    monkeypatch.setattr(colocated, "CHECKPOINT_S", 0.02)
    added = replace(FEED, id=8, name="UPX")
    rows, said = [FEED], list[Delivery]()
    for turn in range(2):
        bus, reader = await open_bus(tmp_path)
        journal(tmp_path, FEED, trade(2 * turn + 1))
        async with Site(bus, tmp_path, rows) as site:
            rows[:] = [FEED, added]
            await until(partial(joined, site))
            for feed in rows:
                journal(tmp_path, feed, trade(2 * turn + 2))
            await until(partial(came, said, reader, (2 * turn + 2, turn + 1)))
    assert trades(said) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert trades(said, "UPX") == [(2, 1), (4, 2)]


async def test_a_feed_that_joins_in_the_middle_of_a_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colocated, "CHECKPOINT_S", 0.01)
    bus, _reader = await open_bus(tmp_path)
    real, kept = ColocatedPartition.keep, list[int]()
    async with Site(bus, tmp_path, [FEED]) as site:
        late = FeedPublisher(replace(FEED, id=8, name="UPX"), bus, data_dir=tmp_path, prefix=tmp_path.name)

        async def keep(partition: ColocatedPartition) -> None:
            if not kept:
                site.parser.join(late)
            kept.append(partition.pipeline.partition)
            await real(partition)

        monkeypatch.setattr(ColocatedPartition, "keep", keep)
        await until(lambda: len(kept) > 3 * PARTITIONS)


def joined(site: Site) -> bool:
    return len(site.parser.ways) == 2


def came(said: list[Delivery], reader: Subscription, wanted: tuple[int, int]) -> bool:
    """Whether so many trades of the old and of the new feed have come."""
    said.extend(arrived(reader))
    return (len(trades(said)), len(trades(said, "UPX"))) == wanted


def journal(folder: Path, feed: FeedConfig, data: bytes) -> None:
    writer = JournalWriter(journal_folder(folder, feed.name), feed.id)
    writer.append([(T0_NS + writer.next_seq * MS, 0, 0, data)])
    writer.close()


class Site:
    """A co-located publisher that looks for edited rows, cut off at the end of its turn."""

    def __init__(self, bus: MemoryBus, folder: Path, rows: list[FeedConfig]) -> None:
        def start(feed: FeedConfig) -> FeedPublisher:
            return FeedPublisher(feed, bus, data_dir=folder, prefix=folder.name)

        edge = PublisherEdge(bus, reload=lambda: list(rows))
        self.publisher = PublisherWorker(bus, [start(feed) for feed in rows], edge=edge, start=start)
        self.parser = ColocatedParser(bus, range(PARTITIONS), {}, save=None)
        for one in self.publisher.publishers:
            self.parser.join(one)
        self.publisher.joined = self.parser.join
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Site:
        stop = asyncio.Event()
        self._tasks = [asyncio.create_task(worker.run(stop)) for worker in (self.publisher, self.parser)]
        return self

    async def __aexit__(self, *error: Any) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
