"""The data path of one feed in this process: the product's workers on the memory bus, the exchange at hand.

For faults that need no process to die: seconds instead of ten. What it leaves is `Evidence`, as of `LivePath`. A test
either lets a capture receive over UDP (`start("capture")`, `send`) or writes the journal itself (`write`), which is the
way to damage it and to choose its times.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from feeds.blocks import Block, decode_block
from feeds.capture.publisher import FeedPublisher, PublisherWorker
from feeds.capture.worker import CaptureWorker, journal_folder
from feeds.config import FeedConfig, LineConfig
from feeds.dead_letters.choice import letters_of
from feeds.journal import JournalWriter
from feeds.journal.segments import segment_names
from feeds.parser.worker import ParserWorker
from feeds.simulator.exchange import Exchange
from feeds.simulator.message import Message
from feeds.simulator.truth import TruthMessage, digest_of
from subscriptions.gateway.spans import Spans
from testbed.evidence import Evidence
from testbed.invariants.lines import SLACK_NS, LineSums
from testbed.ports import free_port
from testbed.reference_path import journal_blocks
from testbed.relay import OUT, row_of
from testbed.tapped_bus import TappedBus

BOTH = (0, 1)
GROUPS = ("239.255.79.1", "239.255.79.2")
BUFFER_BYTES = 32 << 20
SEGMENT_BYTES = 128 << 20
WAIT_S_MAX = 20.0
LOOK_S = 0.005
NEAR_NS = 1_000_000  # what is sent is written down just before it is journaled
STILL_S = 0.1  # longer than the publisher's look at the journal
Worker = CaptureWorker | PublisherWorker | ParserWorker


class InProcessPath:
    """One feed; use it in `async with`. Workers: capture, capture-2, …, publisher, parser."""

    def __init__(
        self, folder: Path, *, seed: int, multicast: bool = False, symbols: int = 12, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self.folder = folder
        self.seed = seed
        folder.mkdir(parents=True)
        self.feed = feed_on(GROUPS if multicast else ("127.0.0.1", "127.0.0.1"))
        self.journal = journal_folder(folder, self.feed.name)
        self.outages: list[tuple[int, int]] = []
        self.bus = TappedBus(folder, self.feed.partitions)
        self.exchange = Exchange({self.feed.name: self.feed.markets}, symbols=symbols, seed=seed, unrouted=True)
        self.exchange_clock: Callable[[], int] = lambda: time.time_ns()
        self.era = 0  # of the messages that are made from now on
        self.workers: dict[str, Worker] = {}
        self._segment_bytes = segment_bytes
        self._running: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = {}
        self._captures: list[CaptureWorker] = []
        self._publisher: dict[str, Any] = {}
        self._truth: list[TruthMessage] = []
        self._eras: dict[bytes, int] = {}
        self._sent = [0, 0]
        self._log = (folder / "relay.log").open("wb")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        self._writer: JournalWriter | None = None
        self._removed: list[Block] = []

    async def __aenter__(self) -> InProcessPath:
        await self.bus.open()
        return self

    async def __aexit__(self, *_error: object) -> None:
        for name in list(self._running):
            self.cut(name)
        await self.bus.close()
        self.close_journal()
        self._log.close()
        self._socket.close()

    # ------------------------------------------------------------------ workers
    def start(self, *names: str, take_over: bool = False) -> None:
        for name in names:
            worker = self.workers[name] = self._make(name, take_over=take_over)
            stop = asyncio.Event()
            self._running[name] = (asyncio.create_task(worker.run(stop), name=name), stop)

    def _make(self, name: str, *, take_over: bool) -> Worker:
        prefix = f"in{self.feed.lines[0].port}"
        if name == "publisher":
            return PublisherWorker(self.bus, [FeedPublisher(self.feed, self.bus, data_dir=self.folder, prefix=prefix)])
        if name == "parser":
            return ParserWorker(self.bus, range(self.feed.partitions), {}, save=None)
        capture = CaptureWorker([self.feed], data_dir=self.folder, prefix=prefix, name=name, take_over=take_over)
        self._captures.append(capture)
        return capture

    async def stop(self, *names: str) -> None:
        """In good order, together."""
        ending = [self._running.pop(name) for name in names]
        for _, stop in ending:
            stop.set()
        await asyncio.wait_for(asyncio.gather(*(task for task, _ in ending)), WAIT_S_MAX)
        self._note(*names)

    async def ended(self, name: str) -> None:
        """Until a worker has ended by itself."""
        task, _ = self._running.pop(name)
        await asyncio.wait_for(task, WAIT_S_MAX)

    def cut(self, name: str) -> None:
        """End a worker in the middle of what it does."""
        task, _ = self._running.pop(name)
        task.cancel()
        self._note(name)

    def _note(self, *names: str) -> None:
        if "publisher" in names:
            feeds: Any = self.workers["publisher"].stats()["feeds"]
            self._publisher = feeds[self.feed.name]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAIT_S_MAX
        while not condition():
            for task, _ in self._running.values():
                if task.done():
                    task.result()
            assert time.monotonic() < deadline, f"not within {WAIT_S_MAX:.0f} s: {what} (seed {self.seed})"
            await asyncio.sleep(LOOK_S)

    async def listening(self, name: str) -> None:
        """Until a capture's sockets are open."""
        await self.until(lambda: bool(self.workers[name].stats()["datagrams_total"]), f"{name} listens")

    async def received(self, name: str, datagrams: int) -> None:
        """Until a capture has taken so many."""

        def all_of_them() -> bool:
            counts: Any = self.workers[name].stats()["datagrams_total"]
            return sum(counts.values()) >= datagrams

        await self.until(all_of_them, f"{name} receives {datagrams}")

    # ------------------------------------------------------------------ the exchange
    def make(self, count: int) -> list[bytes]:
        """The exchange's next messages, sent now."""
        now_ns = self.exchange_clock()
        self.exchange.set_time(now_ns, 0)
        return [self._made(message, now_ns) for message in self.exchange.take(count)]

    def _made(self, message: Message, now_ns: int) -> bytes:
        data = message.data
        digest = digest_of(data)
        self._truth.append(
            TruthMessage(
                len(self._truth) + 1, now_ns, message.feed, message.market, message.stream, message.sequence,
                message.msg_type, message.isin, (0, 0), digest, data,
            )
        )  # fmt: skip
        self._eras[data] = self.era
        return data

    def send(self, messages: Sequence[bytes], *, lines: Sequence[int] = BOTH) -> None:
        """As datagrams, to whoever listens."""
        for data in messages:
            for line in lines:
                self._note_sent(line, data)
                self._socket.sendto(data, (self.feed.lines[line].group, self.feed.lines[line].port))

    def write(self, messages: Sequence[bytes], *, lines: Sequence[int] = BOTH) -> None:
        """Into the journal, a block of one datagram a line, received now."""
        if self._writer is None:
            self._writer = JournalWriter(self.journal, self.feed.id, segment_bytes=self._segment_bytes)
        for data in messages:
            for line in lines:
                self._note_sent(line, data)
            self._writer.append([(time.time_ns(), line, 0, data) for line in lines])

    def close_journal(self) -> None:
        """As a capture that ends; the next `write` repairs what it finds."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def segments(self) -> list[Path]:
        """The journal's files, oldest first."""
        return [self.journal / name for name in segment_names(self.journal)]

    def remove(self, segment: Path, *, read: bool) -> None:
        """Delete a segment. `read`: the publisher has it or will get it all the same, so it counts as journaled."""
        blocks = blocks_in(segment)
        segment.unlink()
        if read:
            self._removed += blocks
        else:
            self.nobody_has(blocks)

    def nobody_has(self, blocks: Sequence[Block]) -> None:
        """What these hold is lost. No slack, as there is between processes: times of one clock."""
        times = [rx_ns for block in blocks for rx_ns, *_ in block.entries]
        self.outages.append((min(times) + SLACK_NS - NEAR_NS, max(times) - SLACK_NS + NEAR_NS))

    def at_tail(self) -> bool:
        """Whether the publisher has read all of the journal."""
        publisher: Any = self.workers["publisher"]
        return bool(publisher.publishers[0].at_tail())

    def waits_for_nothing(self) -> bool:
        """Whether no stream waits for a hole or for its beginning."""
        publisher: Any = self.workers["publisher"]
        return publisher.publishers[0].stage.arbiter.oldest_waiting() is None

    def all_published(self) -> bool:
        """Whether nothing that the publisher has read waits in it."""
        publisher: Any = self.workers["publisher"]
        return self.at_tail() and not publisher.publishers[0].stage.waiting_messages

    def _note_sent(self, line: int, data: bytes) -> None:
        self._sent[line] += 1
        self._log.write(row_of(OUT, line, at_ns=time.time_ns(), data=data))

    # ------------------------------------------------------------------ evidence
    async def settle(self) -> Evidence:
        """Wait until nothing moves, end everything; what is left."""
        publisher: Any = self.workers["publisher"]
        parser: Any = self.workers["parser"]
        last: object = None
        still_since = time.monotonic()

        def still() -> bool:
            nonlocal last, still_since
            one = publisher.publishers[0]
            waits = not (self.at_tail() and self.waits_for_nothing())
            now = (waits, one.published, parser.counts.records)
            if now != last:
                last, still_since = now, time.monotonic()
            return not waits and time.monotonic() - still_since > STILL_S

        await self.until(still, "nothing moves any more")
        await self.stop(*self._running)  # together: the publisher waits for the parser's last checkpoint
        self.close_journal()
        return await self._gather()

    async def _gather(self) -> Evidence:
        self._log.flush()
        spans, records = Spans(), list[str]()
        async for delivery in self.bus.refetch_parsed(0):
            drop = spans.place(delivery.headers).drop
            records += delivery.body.decode().split("\n")[drop:]
        drops: list[dict[str, int]] = [capture.stats()["kernel_drops_by_line"] for capture in self._captures]  # type: ignore[misc]
        return Evidence(
            truth=self._truth,
            blocks=sorted([*self._removed, *journal_blocks(self.journal)], key=lambda block: block.first_seq),
            raw=[decode_block(body)[0] for body in self.bus.raw if body],
            records=records,
            dead=list(letters_of([text async for text in self.bus.dead_letters()])),
            lost_records=spans.lost,
            sums=[
                LineSums(
                    name=name, sent=sent, relay_received=sent, relay_kernel_drops=0, relay_lost=0, relay_doubled=0,
                    relay_sent=sent,
                )
                for name, sent in zip("AB", self._sent, strict=True)
            ],
            kernel_drops=[sum(by.get(f"{self.feed.name}.{name}", 0) for by in drops) for name in "AB"],
            backlog_bytes=int(self._publisher["backlog_bytes"]),
            publisher=self._publisher,
            eras=self._eras,
        )  # fmt: skip


def blocks_in(segment: Path) -> list[Block]:
    """The blocks of one undamaged segment."""
    data, at, found = segment.read_bytes(), 0, list[Block]()
    while at < len(data):
        block, at = decode_block(data, at)
        found.append(block)
    return found


def feed_on(groups: Sequence[str]) -> FeedConfig:
    """One market on free ports of the loopback interface."""
    line = LineConfig("A", "", 0, None, "127.0.0.1")
    lines = tuple(replace(line, name=n, group=g, port=free_port()) for n, g in zip("AB", groups, strict=True))
    return FeedConfig(
        id=7,
        name="STO",
        exchange="HOSE",
        markets=("STO",),
        lines=lines,
        partitions=2,
        receive_buffer_bytes=BUFFER_BYTES,
    )
