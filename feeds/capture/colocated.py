"""A publisher's parsers in its own process: each released block is parsed at once, PARSED first, RAW beside it.

Nothing is encoded for the parser, decoded by it or carried by the broker in between. The parsers are the ones of
`run_parser`, with the same checkpoints under the same keys, so that either setting goes on where the other stopped:

- They consume their partitions' queues too. What is left there from before comes first; a mark tells when it is done
  (feeds/parser/ownership.py). Dead letters that are put in again come this way as well.
- What is released is written to the RAW log first (feeds/capture/raw_log.py). A successor parses what the last
  checkpoint does not have from there, or, being a publisher without a parser, publishes it.
- A round a second makes the checkpoints; the cursor moves with them and never passes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from feeds.blocks import Block, BlockError, decode_block
from feeds.bus.base import Bus, Delivery, Outbox, Outgoing
from feeds.capture.cursor import Cursor
from feeds.capture.publisher import FeedPublisher
from feeds.capture.raw_log import RawLog
from feeds.capture.raw_stage import RawMessage
from feeds.parser.ownership import MARK, mark, own
from feeds.parser.partition import CHECKPOINT_S, PartitionParser
from feeds.parser.pipeline import LIVE, Pipeline
from feeds.parser.worker import ParserWorker, Save

log = logging.getLogger(__name__)

LOG_RETRY_S = 0.2
CALL_S = 5.0  # between two words about a partition that another process does not give up
STOP_S = 2.0


@dataclass(slots=True, eq=False)
class Direct(Delivery):
    """A RAW message that no bus carried, with its block."""

    block: Block


class ColocatedPartition(PartitionParser):
    """Parses its partition's queue like any parser, and what the publishers of this process hand it."""

    def __init__(self, worker: ColocatedParser, pipeline: Pipeline, owner: str) -> None:
        super().__init__(worker.bus, pipeline, owner, replay=False, learned=worker.learn)
        self._turn = worker.turn
        self._unsaved = False  # something came that is in no checkpoint
        self.call = f"{owner} {time.time_ns():x}"
        self.ready = asyncio.Event()

    async def take_direct(self, message: RawMessage, block: Block) -> None:
        """Parse a released block; the caller has the turn."""
        delivery = Direct(message.body, message.headers, self._generation, 0, block)
        self._unsaved = True
        if self._in_order(delivery):
            await self._parse(delivery)
            if self.turns.held:
                await self._parse_held(LIVE, str(message.headers["feed"]), str(message.headers["pub"]))

    async def keep(self) -> None:
        """A checkpoint of now, once all of it is confirmed; then what came through the queue is acknowledged."""
        if self._unsaved or self._unacked:
            self._unsaved = False
            try:
                await self._keep_state()
            except ConnectionError:
                self._unsaved = True
                raise
        await self._report_suspects()

    async def _keep_checkpoints(self) -> None:
        """The worker's rounds do it."""

    async def _begin(self, generation: int) -> None:
        if not self.ready.is_set():
            await super()._begin(generation)
            return
        self._generation = generation  # a new connection: nobody knows more than we do
        self._last, self._unacked = None, 0

    async def _check_owner(self) -> None:
        """It is ours, or will be when our mark comes."""

    async def _marked(self, delivery: Delivery) -> None:
        await super()._marked(delivery)
        if delivery.headers[MARK] == self.call:
            self.ready.set()

    async def _parse(self, delivery: Delivery) -> None:
        if isinstance(delivery, Direct):
            await self._parse_block(delivery, delivery.block)
        else:
            await super()._parse(delivery)


class ColocatedParser(ParserWorker):
    """The parsers of a publisher's process. `replays` also serves replays, where nobody else does."""

    def __init__(
        self,
        bus: Bus,
        partitions: Sequence[int],
        tickers: dict[str, str],
        *,
        save: Save | None,
        name: str = "parser",
        replays: bool = False,
    ) -> None:
        super().__init__(bus, partitions if replays else (), tickers, save=save, name=name)
        self.turn = asyncio.Lock()  # one for all: a flush of a publisher is parsed as a whole
        self.partitions = [
            ColocatedPartition(self, Pipeline(n, tickers, translator=self.translator, counts=self.counts), self.owner)
            for n in partitions
        ]
        self.parsers = [*self.partitions, *(parser for parser in self.parsers if parser.replay)]
        self.ways: list[ColocatedFeed] = []
        self._published = asyncio.Event()

    def learn(self, definitions: list[str]) -> None:
        """Definitions of live messages, to be saved."""
        self._learn(definitions)

    def join(self, publisher: FeedPublisher) -> None:
        """Parse what `publisher` releases."""
        way = ColocatedFeed(self, publisher)
        self.ways.append(way)
        publisher.direct = way
        publisher.stage.blocks = []

    async def ready(self) -> None:
        """All partitions are ours, and what was in their queues is parsed."""
        for partition in self.partitions:
            await partition.ready.wait()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the publishers' last flush is parsed still."""
        await self.bus.open()
        parsing_stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            parsing = group.create_task(super().run(parsing_stop), name="parse")
            calling = group.create_task(self._call(), name="call for the partitions")
            keeping = group.create_task(self._rounds(), name="checkpoint rounds")
            stopping = group.create_task(stop.wait(), name="stop")
            await asyncio.wait({parsing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            calling.cancel()
            keeping.cancel()
            if not parsing.done():
                await self._last_round()
            parsing_stop.set()

    async def _last_round(self) -> None:
        try:
            async with asyncio.timeout(STOP_S):
                for way in self.ways:
                    await way.done.wait()
                await self._round()
        except (TimeoutError, ConnectionError) as error:
            log.warning("%s: no last checkpoint (%s); the successor parses the rest again", self.name, error)

    async def _call(self) -> None:
        """Say that the partitions are ours; say what is waited for."""
        feeds = [way.publisher.feed.name for way in self.ways]
        while True:
            try:
                for partition in self.partitions:
                    number = partition.pipeline.partition
                    await own(self.bus, number, owner=partition.owner, feeds=feeds)
                break
            except ConnectionError as error:
                log.warning("%s: cannot say that it is co-located: %s", self.name, error)
                await asyncio.sleep(LOG_RETRY_S)
        marks = [mark(partition.pipeline.partition, partition.call) for partition in self.partitions]
        async with asyncio.TaskGroup() as group:
            group.create_task(self.bus.publish_raw(marks), name="marks")
            while waiting := [p.pipeline.partition for p in self.partitions if not p.ready.is_set()]:
                try:
                    await asyncio.wait_for(self.ready(), CALL_S)
                except TimeoutError:
                    log.warning("%s: waits for partitions %s: another process parses them", self.name, waiting)

    async def _rounds(self) -> None:
        await self.ready()
        while True:
            await asyncio.sleep(CHECKPOINT_S)
            try:
                await self._round()
            except ConnectionError as error:
                log.warning("%s: cannot keep the checkpoints: %s", self.name, error)

    async def _round(self) -> None:
        """Checkpoints of all partitions; then the cursors and logs move up to where it began."""
        async with self.turn:
            ways = list(self.ways)  # a feed that is added meanwhile is the next round's
            cuts = [way.cut() for way in ways]
            held = any(partition.turns.held for partition in self.partitions)
        for partition in self.partitions:
            await partition.keep()
        for way in ways:
            await way.publisher.drained()
        if not held:  # what is held is in no checkpoint
            for way, cut in zip(ways, cuts, strict=True):
                way.kept(*cut)


class ColocatedFeed:
    """One feed's way from its publisher to the parsers of the process."""

    def __init__(self, parser: ColocatedParser, publisher: FeedPublisher) -> None:
        self.parser = parser
        self.publisher = publisher
        self.log = RawLog(publisher.folder)
        self.done = asyncio.Event()
        self._cursor: Cursor | None = None

    async def begin(self, stop: asyncio.Event, beside: Outbox) -> None:
        """Wait until the partitions are ours; then parse what a killed predecessor had released."""
        ready = asyncio.create_task(self.parser.ready())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({ready, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not ready.done():
            ready.cancel()
            return
        count = 0
        for message in self.log.read():
            with contextlib.suppress(BlockError):  # torn by a kill: it was never passed on
                block, _ = decode_block(message.body)
                await self._parse([message], [block])
                await beside.put(Outgoing(*message))
                count += 1
        if count:
            log.info("%s: %d RAW messages of before parsed again", self.publisher.feed.name, count)

    async def take(self, messages: Sequence[RawMessage], blocks: Sequence[Block], cursor: Cursor) -> None:
        """Keep and parse what was released up to `cursor`."""
        async with self.parser.turn:
            await self._append(messages)
            self._cursor = cursor
            await self._feed(messages, blocks)

    def cut(self) -> tuple[int, Cursor | None]:
        """Where a checkpoint of now ends."""
        return self.log.cut(), self._cursor

    def kept(self, below: int, cursor: Cursor | None) -> None:
        """The checkpoints up to this cut are kept."""
        self.log.release(below)
        if cursor is not None:
            self.publisher.passed(cursor)

    def end(self) -> None:
        """The publisher has flushed for the last time."""
        self.done.set()

    async def _parse(self, messages: Sequence[RawMessage], blocks: Sequence[Block]) -> None:
        async with self.parser.turn:
            await self._feed(messages, blocks)

    async def _feed(self, messages: Sequence[RawMessage], blocks: Sequence[Block]) -> None:
        partitions = self.parser.partitions
        for message, block in zip(messages, blocks, strict=True):
            if message.partition < len(partitions):  # partitions are a setting: a log of before may have more
                await partitions[message.partition].take_direct(message, block)

    async def _append(self, messages: Sequence[RawMessage]) -> None:
        while True:
            try:
                self.log.append(messages)
                return
            except OSError as error:  # the journal keeps what comes meanwhile
                log.error("%s: cannot write the RAW log: %s; trying again", self.publisher.feed.name, error)
                await asyncio.sleep(LOG_RETRY_S)
