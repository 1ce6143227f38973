"""One partition of RAW: consume, parse, publish PARSED in order, checkpoint, acknowledge."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable

from feeds.blocks import Block, BlockError, decode_block
from feeds.bus.base import Bus, Delivery, Outgoing
from feeds.parser import checkpoint
from feeds.parser.control import STATES_KEY
from feeds.parser.jump import jumped
from feeds.parser.latency import Latency
from feeds.parser.ownership import MARK, NotOurs, owner_of
from feeds.parser.pipeline import LIVE, Parsed, Pipeline
from feeds.parser.suspects import suspects_key
from feeds.parser.turns import Name, Turns, again_key, went_key

log = logging.getLogger(__name__)

CHECKPOINT_S = 1.0
UNACKED_MAX = 600  # RAW messages; at it a checkpoint is made at once (the broker's prefetch is larger)
WATCH_S = 0.1
GIVE_WAY_S = 1.0  # without a consumer, so that the owner of the partition gets what waits
TURN_MESSAGES = 8  # parsed in one go before other tasks get the loop
REPLAYS_MAX = 64  # contexts of replays kept; past it the oldest is forgotten


class PartitionParser:
    """Owns the pipeline of one partition, for live messages or for replays."""

    def __init__(
        self, bus: Bus, pipeline: Pipeline, owner: str, *, replay: bool, learned: Callable[[list[str]], None]
    ) -> None:
        self.bus = bus
        self.pipeline = pipeline
        self.owner = owner
        self.replay = replay
        self.learned = learned
        self.run_id = ""
        self.latency = Latency()
        self.key = f"raw.{'replay' if replay else 'live'}.{pipeline.partition}"
        self._generation = 0
        self.turns = Turns(pipeline.counts)
        self._turn = asyncio.Lock()  # what is held is parsed from the watch, in nobody's way
        self._keeping = asyncio.Lock()  # taken before the turn: an older checkpoint never replaces a newer one
        self._newest: Delivery | None = None
        self._last: Delivery | None = None  # everything up to it is parsed
        self._unacked = 0
        self._due = asyncio.Event()
        self._reported: dict[str, tuple[int, bool]] = {}
        self._states: dict[str, str] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Parse until `stop`, then make a last checkpoint."""
        self.parsed_box = self.bus.parsed_outbox()
        self.dead_box = self.bus.dead_outbox()
        self.subscription = self.bus.consume_raw(self.pipeline.partition, replay=self.replay)
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep_checkpoints(), name=f"checkpoint {self.key}")
            consuming = group.create_task(self._consume(), name=f"parse {self.key}")
            watching = group.create_task(self._watch_turns(), name=f"turns {self.key}")
            await stop.wait()
            consuming.cancel()
            watching.cancel()
            keeping.cancel()
        try:
            await asyncio.wait_for(self._checkpoint(), 2.0)
        except (TimeoutError, ConnectionError) as error:
            log.warning("%s: no last checkpoint (%s); its successor parses the rest again", self.key, error)
        await self.subscription.close()

    async def _consume(self) -> None:
        while True:
            try:
                await self._take_all()
            except NotOurs as owner:
                await self._give_way(owner)

    async def _give_way(self, owner: NotOurs) -> None:
        """Leave the queue to a co-located publisher and stand by behind it."""
        log.warning("%s: %s parses this partition; standing by", self.key, owner)
        with contextlib.suppress(ConnectionError):
            await self._checkpoint()
        self._generation, self._last, self._unacked = 0, None, 0
        self.run_id = ""  # the owner's checkpoints are newer than what we hold
        await self.subscription.close()
        await asyncio.sleep(GIVE_WAY_S)
        self.subscription = self.bus.consume_raw(self.pipeline.partition, replay=self.replay)

    async def _take_all(self) -> None:
        async for first in self.subscription:
            delivery: Delivery | None = first
            turns = 0
            while delivery is not None:
                await self._take(delivery)
                turns += 1
                if turns % TURN_MESSAGES == 0:
                    await asyncio.sleep(0)
                delivery = self.subscription.get_nowait()

    async def _take(self, delivery: Delivery) -> None:
        if delivery.generation != self._generation:
            await self._begin(delivery.generation)
        if MARK in delivery.headers:
            await self._marked(delivery)
        async with self._turn:
            if delivery.body and self._in_order(delivery):
                await self._parse(delivery)
                if self.turns.held:
                    headers = delivery.headers
                    await self._parse_held(str(headers["origin"]), str(headers["feed"]), str(headers["pub"]))
            self._newest = delivery
            # What is held is not acknowledged, nor what came after it, as long as more can come.
            if not self.turns.held or self.turns.fills_the_window():
                self._last = delivery
        self._unacked += 1
        if self._unacked >= UNACKED_MAX:
            self._due.set()

    async def _begin(self, generation: int) -> None:
        """First delivery of a connection: go on from the checkpoint if another parser wrote the last one."""
        self._generation = generation
        self._last, self._unacked = None, 0
        self.turns.clear()
        await self._check_owner()
        body = await self._retained()
        if body is None:
            if not self.run_id:
                # Kept before the first record goes out: who succeeds us before our first checkpoint numbers as we did.
                self.run_id = f"{time.time_ns():x}"
                await self._keep_first()
            return
        found = checkpoint.decode(body)
        if found.owner == self.owner and self.run_id:
            return  # ours, and what we hold is newer
        self.run_id = found.run
        self.pipeline.contexts = {(c.origin, c.feed): c for c in found.contexts}

    async def _check_owner(self) -> None:
        """Raise NotOurs when a publisher with a parser beside it has this partition."""
        while not self.replay:
            try:
                if owner := await owner_of(self.bus, self.pipeline.partition):
                    raise NotOurs(owner)
                return
            except ConnectionError as error:
                log.warning("%s: cannot read whose it is: %s", self.key, error)
                await asyncio.sleep(0.2)

    async def _marked(self, _delivery: Delivery) -> None:
        """A co-located publisher called for the partition, now or before it ended."""
        await self._check_owner()

    async def _keep_first(self) -> None:
        while True:
            try:
                await self.bus.retain(self.key, checkpoint.encode(self.pipeline, self.run_id, self.owner))
                return
            except ConnectionError as error:
                log.warning("%s: cannot keep the first checkpoint: %s", self.key, error)
                await asyncio.sleep(0.2)

    async def _retained(self) -> bytes | None:
        while True:
            try:
                return await self.bus.retained(self.key)
            except ConnectionError as error:
                log.warning("%s: cannot read the checkpoint: %s", self.key, error)
                await asyncio.sleep(0.2)

    def _in_order(self, delivery: Delivery) -> bool:
        """Follow the publisher's message numbers (feeds/parser/turns.py): a repeated message is dropped, one before its
        predecessor is held until that comes."""
        context = self.pipeline.context(str(delivery.headers["origin"]), str(delivery.headers["feed"]))
        return self.turns.take(context, delivery, time.monotonic())

    async def _parse_held(self, origin: str, feed: str, publisher: str) -> None:
        """What was held of a publisher and is next now."""
        context = self.pipeline.context(origin, feed)
        while (delivery := self.turns.next(context, publisher)) is not None:
            await self._parse(delivery)

    async def _watch_turns(self) -> None:
        """Ask publishers to go back for what does not come, and go on without it when nobody does."""
        while True:
            await asyncio.sleep(WATCH_S)
            if not self.turns.held:
                continue
            for name in self.turns.requests(time.monotonic()):
                await self._ask(name)
            if self.turns.overdue(time.monotonic()) is not None:
                await self._jump_all()
            async with self._turn:
                if not self.turns.held:
                    self._last = self._newest

    async def _ask(self, name: Name) -> None:
        """Ask for what `name` misses, unless it is on its way."""
        origin, feed, publisher = name
        context, partition = self.pipeline.context(origin, feed), self.pipeline.partition
        last = context.chains.get(publisher, 0)
        try:
            if self.turns.answered(name, await self.bus.retained(went_key(feed)), partition):
                log.info("%s: what %s of %s has after %d is on its way", self.key, publisher, feed, last)
                return
            log.warning("%s: %s of %s follows on %d too early: asks for the rest", self.key, publisher, feed, last)
            await self.bus.retain(again_key(feed), self.turns.request(context, partition, time.time_ns()))
        except ConnectionError as error:
            log.warning("%s: cannot ask: %s", self.key, error)
            self.turns.not_asked(name, time.monotonic())

    async def _jump_all(self) -> None:
        """Go on behind everything that is overdue. That is the clock's decision: it is kept before its first record
        goes out, or a successor that starts before it would number other records alike."""
        async with self._keeping, self._turn:
            while (name := self.turns.overdue(time.monotonic())) is not None:
                origin, feed, publisher = name
                self.turns.decide(self.pipeline.context(origin, feed), name)
                try:
                    await self._keep("".join(checkpoint.pieces(self.pipeline, self.run_id, self.owner)))
                except ConnectionError as error:
                    log.warning("%s: cannot keep what it gives up of %s: %s", self.key, publisher, error)
                    return
                await self._parse_held(origin, feed, publisher)

    async def _say_jump(self, delivery: Delivery, block: Block) -> None:
        """The records of a loss, before those of the message behind it."""
        context = self.pipeline.context(str(delivery.headers["origin"]), str(delivery.headers["feed"]))
        jump = self.turns.said(context, delivery.headers)
        if jump is None:
            return
        log.error("%s: RAW messages %d to %d of %s are lost: goes on", self.key, jump.first, jump.last, jump.publisher)
        first = context.next_record
        said = Parsed(jumped(context, block, jump, partition=self.pipeline.partition), first, [])
        if said.records:
            await self._publish(said, delivery, block.epoch)

    async def _parse(self, delivery: Delivery) -> None:
        try:
            block, _ = decode_block(delivery.body)
        except BlockError as error:
            self.pipeline.counts.bad_blocks += 1
            log.error("%s: %s", self.key, error)
            return
        await self._parse_block(delivery, block)

    async def _parse_block(self, delivery: Delivery, block: Block) -> None:
        await self._say_jump(delivery, block)
        origin, feed = str(delivery.headers["origin"]), str(delivery.headers["feed"])
        parsed = self.pipeline.feed(block, origin, feed)
        for letter in parsed.dead:
            await self.dead_box.put(Outgoing(self.pipeline.partition, letter.as_json(), {"origin": origin}))
        if parsed.records:
            await self._publish(parsed, delivery, block.epoch)
        if parsed.definitions and not self.replay:
            self.learned(parsed.definitions)
        if self.replay:
            self._forget_replays()

    async def _publish(self, parsed: Parsed, delivery: Delivery, epoch: int) -> None:
        now = time.time_ns()
        t_rx = int(delivery.headers["t_rx"])
        headers: dict[str, str | int] = {
            "feed": delivery.headers["feed"],
            "epoch": epoch,
            "origin": delivery.headers["origin"],
            "partition": self.pipeline.partition,
            "run": self.run_id,
            "first": parsed.first,
            "last": parsed.first + len(parsed.records) - 1,
            "t_rx": t_rx,
            "t_pub": now,
        }
        body = "\n".join(parsed.records).encode()
        await self.parsed_box.put(Outgoing(self.pipeline.partition, body, headers))
        if not self.replay:
            self.latency.observe(now - t_rx, len(parsed.records))

    def _forget_replays(self) -> None:
        while len(self.pipeline.contexts) > REPLAYS_MAX:
            del self.pipeline.contexts[next(iter(self.pipeline.contexts))]

    async def _keep_checkpoints(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), CHECKPOINT_S)
            self._due.clear()
            try:
                await self._checkpoint()
                await self._report_suspects()
                await self._report_states()
            except ConnectionError as error:
                log.warning("%s: cannot keep the checkpoint: %s", self.key, error)

    async def _report_suspects(self) -> None:
        """Tell the publishers how far this partition is proven, when that has changed."""
        for (origin, feed), context in list(self.pipeline.contexts.items()):
            through, left = context.suspects.report()
            if origin != LIVE or self._reported.get(feed) == (through, left > 0):
                continue
            await self.bus.retain(suspects_key(feed, self.pipeline.partition), json.dumps([through, left]).encode())
            self._reported[feed] = (through, left > 0)

    async def _report_states(self) -> None:
        """Keep the feeds' states where a gateway that starts finds them."""
        contexts = self.pipeline.contexts.items()
        states = {feed: c.feed_state for (origin, feed), c in contexts if origin == LIVE and c.feed_state}
        if states and states != self._states:
            await self.bus.retain(STATES_KEY, json.dumps(states).encode())
            self._states = states

    async def _checkpoint(self) -> None:
        """Acknowledge what is parsed, once it is confirmed and kept."""
        if self._last is not None and self._unacked:
            await self._keep_state()

    async def _keep_state(self) -> None:
        async with self._keeping:
            pieces = checkpoint.pieces(self.pipeline, self.run_id, self.owner)
            async with self._turn:  # a message that waits for room in the outbox is not in what `drained` waits for
                last, generation = self._last, self._generation
                text = [next(pieces)]
                self._unacked = 0  # what is parsed from here on is the next checkpoint's
            for piece in pieces:
                text.append(piece)
                await asyncio.sleep(0)
            await self._keep("".join(text))
        if last is not None and generation == self._generation:
            self.subscription.ack(last)

    async def _keep(self, text: str) -> None:
        await self.parsed_box.drained()
        await self.dead_box.drained()
        await self.bus.retain(self.key, text.encode())
