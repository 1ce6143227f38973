"""The publisher: follows a feed's journal from its cursor, publishes RAW, moves the cursor when the broker confirmed.

Adaptive linger: a quiet feed is flushed at once, a busy one at most every 2 ms (`linger_ns`), because a bus message
costs the same whatever it holds (design.md: 60-190 µs).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from feeds.bus.base import Bus, Outbox, Outgoing
from feeds.capture.cursor import Cursor, load_cursor
from feeds.capture.cursor_keeper import CursorKeeper
from feeds.capture.feed_figures import states_of
from feeds.capture.feed_monitor import LOOK_NS, FeedMonitor
from feeds.capture.going_back import GoingBack
from feeds.capture.pairing import Pairing
from feeds.capture.publisher_edge import PublisherEdge
from feeds.capture.raw_log import RawLog
from feeds.capture.raw_stage import RawStage
from feeds.capture.skew import SkewProbe
from feeds.capture.wake import WakeListener, wake_address
from feeds.capture.worker import journal_folder
from feeds.config import FeedConfig
from feeds.journal import JournalReader, Position
from feeds.parser.ownership import disown

if TYPE_CHECKING:
    from feeds.capture.colocated import ColocatedFeed

log = logging.getLogger(__name__)

LINGER_NS_BUSY = 2_000_000
# Blocks that gathered in the capture have waited there, so they linger less here.
GATHERED = 32  # datagrams in a block
GATHERED_NS = 1_000_000
# A broker that is away or behind: fewer, larger messages, or the backlog would be as slow to drain as it was to fill.
LINGER_NS_BEHIND = 50_000_000
BEHIND_BYTES = 8 << 20
BUSY_MESSAGES_PER_MS = 2.0
BUSY_MESSAGES_PER_MS_DIRECT = 10.0  # with the parser beside: no message of the bus comes before PARSED
RATE_NS = 20_000_000  # measured over
IDLE_LOOK_S = 0.02  # a look at the journal without a hint
# One of a pair that starts anew, in the middle of the stream: its partner is to be ahead of it, or its first numbers
# would make what the partner has on its way look old.
PARTNER_S = 1.0
READ_BYTES = 256 << 10  # per turn of the loop, so that a backlog never holds the loop for long
FLUSH_MESSAGES = 1_000
NS_PER_MS = 1_000_000
SUMMED = ("received", "unique", "duplicate", "late", "missing", "gaps", "published", "confirmed", "backlog_bytes")


class FeedPublisher:
    """Publishes one feed."""

    def __init__(
        self, feed: FeedConfig, bus: Bus, *, data_dir: Path, prefix: str, linger_ns: int = LINGER_NS_BUSY
    ) -> None:
        self.feed = feed
        self._busy_ns = linger_ns
        self.prefix = prefix
        self.bus = bus
        self.folder = journal_folder(data_dir, feed.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.keeper = CursorKeeper(self.folder / "publisher.cursor")
        self.reader = JournalReader(self.folder)
        self.stage = RawStage(feed, "live", publisher=f"{time.time_ns():x}")
        self.read_to, state = load_cursor(self.keeper.path)
        if state is not None:
            self.stage.restore(state)
        self.monitor = FeedMonitor(feed, self.stage.arbiter.lines, self.stage.state_changed)
        self.stage.monitor = self.monitor
        self.back = GoingBack(self.folder)
        self.back.earlier.begin(time.time_ns(), self.stage.reached, Cursor(self.read_to, state))
        self.skew = SkewProbe()
        self.now_ns = 0
        self.published = 0
        self.confirmed = 0
        self.linger_ns = 0
        self.direct: ColocatedFeed | None = None  # the parsers in this process
        self.pairing: Pairing | None = None  # one of a hot-hot pair
        self._outbox: Outbox | None = None
        self._flushed_ns = 0
        self._per_ms = 0.0
        self._counted = 0
        self._counted_ns = 0
        self._marks: deque[tuple[int, Position]] = deque()
        self._gathered = False  # the last blocks were large
        self._hinted = False  # the capture wrote since the last look
        self._hint: asyncio.Future[None] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the journal until `stop`; then flush, wait shortly for confirms and save the cursor."""
        listener = WakeListener(wake_address(self.prefix, self.feed.name))
        self._outbox = self.bus.raw_outbox() if self.direct is None else self.bus.beside_outbox()
        loop = asyncio.get_running_loop()
        loop.add_reader(listener.socket.fileno(), self._wake, listener)
        try:
            if self.stage.paired and not self.stage.journal_epoch:
                await _wait(stop, PARTNER_S)
            await self._begin(stop)
            while not stop.is_set():
                await self._step(stop)
            await self._flush()
            if self.direct is not None:
                self.direct.end()
            try:
                await asyncio.wait_for(self._outbox.drained(), 1.5)
            except TimeoutError:
                log.warning("%s: %d bytes unconfirmed; they are published again", self.feed.name, self.backlog_bytes)
        finally:
            loop.remove_reader(listener.socket.fileno())
            listener.close()
            self.reader.close()
            await self.keeper.close()

    async def _begin(self, stop: asyncio.Event) -> None:
        """What a co-located publisher left when it was killed is parsed here, or published for the parsers."""
        assert self._outbox is not None
        if self.direct is not None:
            await self.direct.begin(stop, self._outbox)
            return
        left = RawLog(self.folder)
        end = left.cut()
        # Partitions are a setting: there is no queue for those of a log of before that are gone.
        messages = [Outgoing(*message) for message in left.read() if message.partition < self.feed.partitions]
        for message in messages[:-1]:
            await self._outbox.put(message)
        if messages:
            log.info("%s: %d RAW messages of a co-located publisher are published", self.feed.name, len(messages))
            await self._outbox.put(messages[-1], lambda: left.release(end))
        try:
            await disown(self.bus, range(self.feed.partitions), feeds=[self.feed.name])
        except ConnectionError as error:
            log.warning("%s: cannot say that it is not co-located: %s", self.feed.name, error)

    def at_tail(self) -> bool:
        """True when everything the capture has written is read."""
        return self.read_to >= self.reader.tail()

    def configure(self, feed: FeedConfig) -> None:
        """Take edited settings; the partitions are the system's and stay."""
        self.feed = self.stage.feed = self.stage.arbiter.feed = feed
        self.monitor.configure(feed)

    def restart_at(self, position: Position, stage: RawStage) -> None:
        """Go on from an earlier place with a stage restored there."""
        self.read_to, self.stage = position, stage
        self.stage.blocks = None if self.direct is None else []
        self._marks.clear()

    def passed(self, cursor: Cursor) -> None:
        """Keep `cursor`: the parsers' checkpoints have everything before it."""
        self.keeper.offer(cursor)

    async def drained(self) -> None:
        """What was put into the outbox so far is confirmed."""
        if self._outbox is not None:
            await self._outbox.drained()

    @property
    def backlog_bytes(self) -> int:
        return self._outbox.backlog_bytes if self._outbox is not None else 0

    def _wake(self, listener: WakeListener) -> None:
        listener.clear()
        self._hinted = True
        if self._hint is not None:
            _resolve(self._hint)

    async def _step(self, stop: asyncio.Event) -> None:
        """Read what is there, push it, flush when due; wait for more when the tail is reached."""
        self._hinted = False
        self.back.turn(self)
        begin = self.read_to
        blocks, self.read_to = self.reader.read(begin, READ_BYTES)
        if blocks:
            self._marks.append((blocks[0].first_seq, begin))
            for block in blocks:
                self.stage.push(block)
                self.skew.look(block)
            self._gathered = sum(len(block.entries) for block in blocks) >= GATHERED * len(blocks)
        now = time.time_ns()
        if now < self._flushed_ns:  # the clock was set back: no flush waits until it is that late again
            self._flushed_ns = self._counted_ns = 0
        if not blocks:
            self.stage.tick(now)
        if not 0 <= now - self.now_ns < LOOK_NS:
            self.now_ns = now
            self.stage.look(now)
        waiting = self.stage.waiting_messages
        behind = self._is_behind(begin)
        if waiting >= FLUSH_MESSAGES or (waiting and not behind and now - self._flushed_ns >= self.linger_ns):
            await self._flush()
            waiting = 0
        self.keeper.save_soon(now)
        if behind:
            await asyncio.sleep(0)
        elif waiting or (blocks and self.linger_ns and not self._gathered):  # one look a linger, not one a hint
            await asyncio.sleep(max(0, self._flushed_ns + self.linger_ns - time.time_ns()) / 1e9)
        else:
            await self._woken_up()

    def _is_behind(self, begin: Position) -> bool:
        """Whether the read from `begin` left more in the journal than a linger brings."""
        same = begin.segment == self.read_to.segment
        return not same or self.read_to.offset - begin.offset > READ_BYTES // 2

    async def _woken_up(self) -> None:
        """Wait for the capture's hint, or for IDLE_LOOK_S. Without `wait_for`, which makes a task each time."""
        if self._hinted:
            return
        loop = asyncio.get_running_loop()
        self._hint = loop.create_future()
        timer = loop.call_later(IDLE_LOOK_S, _resolve, self._hint)
        try:
            await self._hint
        finally:
            timer.cancel()
            self._hint = None

    async def _flush(self) -> None:
        """Publish everything released; the cursor of this moment becomes good when the last of it is confirmed."""
        assert self._outbox is not None
        if self.pairing is not None:
            await self.pairing.announce(self)
        now = time.time_ns()
        messages = self.stage.drain()
        count = self.stage.drained_messages
        self._set_linger(now, count)
        cursor = Cursor(self._safe_position(), self.stage.state())
        self.back.earlier.note(now, self.stage.reached, cursor)
        if self.direct is not None:
            await self.direct.take(messages, self.stage.take_blocks(), cursor)
        for message in messages[:-1]:
            await self._outbox.put(Outgoing(*message))
        if messages:
            await self._outbox.put(Outgoing(*messages[-1]), lambda: self._confirm(cursor, count))
        self.published += count

    def _set_linger(self, now: int, count: int) -> None:
        """Of a flush of `count` messages."""
        if self.direct is None:
            elapsed_ms = max(now - self._flushed_ns, 1) / NS_PER_MS
            self._per_ms = 0.8 * self._per_ms + 0.2 * min(count / elapsed_ms, 1e6)
            busy = self._per_ms >= BUSY_MESSAGES_PER_MS
        else:
            self._counted += count
            if (elapsed := now - self._counted_ns) >= RATE_NS:
                self._per_ms = self._counted * NS_PER_MS / elapsed
                self._counted, self._counted_ns = 0, now
            busy = self._per_ms >= BUSY_MESSAGES_PER_MS_DIRECT
        self.linger_ns = max(0, self._busy_ns - GATHERED_NS * self._gathered) if busy else 0
        if self.backlog_bytes >= BEHIND_BYTES:
            self.linger_ns = LINGER_NS_BEHIND
        self._flushed_ns = now

    def _confirm(self, cursor: Cursor, count: int) -> None:
        self.confirmed += count
        if self.direct is None:
            self.keeper.offer(cursor)

    def _safe_position(self) -> Position:
        """Where a restart must read from: before the oldest message that waits for a gap to fill."""
        oldest = self.stage.arbiter.oldest_waiting()
        while len(self._marks) > 1 and (oldest is None or self._marks[1][0] <= oldest):
            self._marks.popleft()
        return self.read_to if oldest is None or not self._marks else self._marks[0][1]


def _resolve(hint: asyncio.Future[None]) -> None:
    if not hint.done():
        hint.set_result(None)


class PublisherWorker:
    """The publishers of a process's feeds."""

    kind = "publisher"

    def __init__(
        self,
        bus: Bus,
        publishers: list[FeedPublisher],
        name: str = "publisher",
        *,
        edge: PublisherEdge | None = None,
        start: Callable[[FeedConfig], FeedPublisher] | None = None,
    ) -> None:
        self.name = name
        self.bus = bus
        self.publishers = publishers
        self.edge = edge or PublisherEdge(bus)
        self.pairing: Pairing | None = None
        self.joined: Callable[[FeedPublisher], None] | None = None  # brings a new feed to the parsers in this process
        self._start = start  # makes the publisher of a feed that was added while the process runs

    def pair(self) -> None:
        """Be one of a hot-hot pair: the publishers say how far they are, and agree on the epoch."""
        self.pairing = Pairing(self.bus)
        for publisher in self.publishers:
            publisher.pairing, publisher.stage.paired = self.pairing, True

    async def run(self, stop: asyncio.Event) -> None:
        await self.bus.open()
        if self.pairing is not None:
            await self.pairing.look(self.publishers)
        async with asyncio.TaskGroup() as group:
            for publisher in self.publishers:
                group.create_task(publisher.run(stop), name=f"publish {publisher.feed.name}")

            def add(publisher: FeedPublisher) -> None:
                publisher.pairing, publisher.stage.paired = self.pairing, self.pairing is not None
                if self.joined is not None:
                    self.joined(publisher)
                self.publishers.append(publisher)
                group.create_task(publisher.run(stop), name=f"publish {publisher.feed.name}")

            apply = partial(self._apply, add=add)
            group.create_task(self.edge.run(stop, self.publishers, apply), name="publisher edge")
            if self.pairing is not None:
                group.create_task(self.pairing.run(stop, self.publishers), name="pairing")

    def _apply(self, feeds: Sequence[FeedConfig], add: Callable[[FeedPublisher], None]) -> None:
        """The feeds as their rows say now: edited, disabled (closed, what arrives is published still), or new."""
        now = {feed.name: feed for feed in feeds}
        for publisher in self.publishers:
            feed = now.pop(publisher.feed.name, None)
            if publisher.monitor.disabled != (feed is None):
                log.info("%s: %s by an operator", publisher.feed.name, "disabled" if feed is None else "enabled")
                publisher.monitor.disabled = feed is None
            if feed is not None and feed != publisher.feed:
                log.info("%s: takes edited settings", feed.name)
                publisher.configure(feed)
        start = self._start
        if start is None:
            return
        for feed in now.values():
            log.info("%s: a new feed", feed.name)
            add(start(feed))

    def stats(self) -> dict[str, object]:
        """Sums over the feeds, and each feed's own figures."""
        feeds = {p.feed.name: publisher_stats(p) for p in self.publishers}
        total: dict[str, object] = {n: sum(int(str(f[n])) for f in feeds.values()) for n in SUMMED}
        return {**total, "feeds": feeds}


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def publisher_stats(publisher: FeedPublisher) -> dict[str, object]:
    """One feed's arbitration and publishing in figures."""
    arbiter = publisher.stage.arbiter
    lines = {name: counts.as_dict() for name, counts in zip("AB", arbiter.lines, strict=True)}
    return {
        "received": sum(c.received for c in arbiter.lines),
        "unique": arbiter.unique,
        "duplicate": sum(c.duplicate for c in arbiter.lines),
        "late": sum(c.late for c in arbiter.lines),
        "missing": arbiter.missing,
        "gaps": arbiter.gaps,
        "resets": arbiter.resets,
        "went_back": publisher.back.times,
        "epoch": publisher.stage.epoch,
        "published": publisher.published,
        "confirmed": publisher.confirmed,
        "backlog_bytes": publisher.backlog_bytes,
        "linger_ms": publisher.linger_ns / NS_PER_MS,
        "bad_bytes": publisher.reader.bad_bytes,
        "lines": lines,
        **states_of(publisher),
    }
