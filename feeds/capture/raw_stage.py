"""Turns journal blocks into RAW messages: arbitrated, partitioned, one block per partition and flush.

The publisher (live) and the replay player use the same stage, so a replay sees what live saw.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import NamedTuple

from feeds.blocks import FLAG_END, FLAG_GAP, FLAG_MARK, FLAG_OVERTAKEN, FLAG_STATE, Block, Entry, encode_block
from feeds.capture.arbiter import Arbiter
from feeds.capture.feed_monitor import FeedMonitor
from feeds.capture.sequencer import Gap, Held, Sequencer
from feeds.config import FeedConfig
from feeds.partitions import PartitionTable

BATCH_MESSAGES_MAX = 256
KEYLESS_PARTITION = 0  # of what has no routing key: bytes that are no message, and everything when there is one
BATCH_BYTES_MAX = 120_000  # a RAW message of about this size; a longer batch is cut here


class RawMessage(NamedTuple):
    """One RAW message: a block of one partition."""

    partition: int
    body: bytes
    headers: dict[str, str | int]


@dataclass(slots=True)
class _Batch:
    entries: list[Entry] = field(default_factory=list)
    number: int = 0
    size: int = 0
    first: int = 0
    last: int = 0


class RawStage:
    """Arbitration and partitioning of one feed for one origin (`live` or `replay:<job>`)."""

    def __init__(self, feed: FeedConfig, origin: str = "live", publisher: str = "") -> None:
        self.feed = feed
        self.origin = origin
        self.publisher = publisher  # names this run; the parser follows its message numbers per partition
        # By partition `<publisher>:<number>` of the last RAW message before ours, of one that was restored.
        self.follows: tuple[str, ...] = ()
        self.drained_messages = 0
        self.epoch = 0
        self.journal_epoch = 0
        self.arbiter = Arbiter(
            feed,
            self._emit,
            on_gap=self._on_gap,
            on_reset=self._on_reset,
            on_late_start=self._on_late_start,
            on_overtaken=self._on_overtaken,
        )
        self._table = PartitionTable(feed.partitions)
        self._batches = [_Batch() for _ in range(feed.partitions)]
        self._out: list[RawMessage] = []
        self.blocks: list[Block] | None = None  # of what `drain` returns, kept when the parser is in this process
        self._capture_seq = 0
        self._rx_ns = 0
        self._closed_messages = 0
        self._controls = 0
        self.paired = False  # one of a hot-hot pair: says how far it is, see _mark
        self._marked: dict[tuple[str, str], int] = {}
        self.epoch_began_ns = 0  # 0: before this run
        self.partner_epoch = (0, 0, 0)  # see follow
        self.monitor: FeedMonitor | None = None  # live only: states follow the clock, a replay's would tell nothing

    def push(self, block: Block) -> None:
        """Take the next journal block."""
        if block.epoch > self.journal_epoch:  # a lower one is a clock that went back, not a session
            self._new_session(block.epoch)
            self.epoch_began_ns = block.entries[0][0] if block.entries else 0
        if block.entries:
            epoch, _, since_ns = self.partner_epoch
            if epoch > self.epoch and block.entries[0][0] >= since_ns:
                self.adopt(epoch)
            self._rx_ns = block.entries[-1][0]
            self._capture_seq = block.first_seq + len(block.entries) - 1
        self.arbiter.push(block)

    def look(self, now_ns: int) -> None:
        """Evaluate the feed's states; changes go out with the next messages."""
        if self.monitor is not None:
            self.monitor.look(now_ns, self.epoch)

    def tick(self, now_ns: int) -> None:
        """The tail is reached and nothing came up to `now_ns`: declare the gaps whose wait is over."""
        self._rx_ns = now_ns
        self.arbiter.tick(now_ns)

    def finish(self) -> None:
        """Nothing more will come: declare what is open, release what waits."""
        self.arbiter.finish()

    @property
    def waiting_messages(self) -> int:
        """How many released messages wait for `drain`."""
        return sum(len(batch.entries) for batch in self._batches) + self._closed_messages

    @property
    def reached(self) -> tuple[str, ...]:
        """By partition `<publisher>:<number>` of the last RAW message; `:0` where there never was one."""
        before = self.follows or (":0",) * len(self._batches)
        numbers = (batch.number for batch in self._batches)
        return tuple(f"{self.publisher}:{n}" if n else b for n, b in zip(numbers, before, strict=True))

    def drain(self) -> list[RawMessage]:
        """Everything released since the last call, one or more RAW messages per partition, in order."""
        if self.paired:
            self._mark()
        for partition, batch in enumerate(self._batches):
            if batch.entries:
                self._close(partition, batch)
        out, self._out = self._out, []
        # Control entries are no messages of the feed.
        self.drained_messages = self._closed_messages - self._controls
        self._closed_messages = self._controls = 0
        return out

    def take_blocks(self) -> list[Block]:
        """The blocks of the messages that the last `drain` returned."""
        blocks, self.blocks = self.blocks or [], []
        return blocks

    def end(self) -> list[RawMessage]:
        """The end of a replay, one message per partition."""
        self._broadcast(FLAG_END, {"origin": self.origin})
        return self.drain()

    def state_changed(self, state: dict[str, object]) -> None:
        """Publish a change of the feed's state to every partition."""
        self._broadcast(FLAG_STATE, state)

    def state(self) -> dict[str, object]:
        """What a cursor keeps (JSON values)."""
        return {
            "epoch": self.epoch,
            "journal_epoch": self.journal_epoch,
            "streams": [stream.state() for stream in self.arbiter.by_name.values()],
            "reached": list(self.reached),
            "heard": [self.arbiter.heard_ns, self.arbiter.busy_since_ns],
        }

    def restore(self, state: dict[str, object]) -> None:
        """Take up where a cursor was saved."""
        self.epoch = int(str(state["epoch"]))
        self.journal_epoch = int(str(state["journal_epoch"]))
        reached: list[str] = state.get("reached", [])  # type: ignore[assignment]
        if len(reached) == len(self._batches):  # partitions are a setting
            self.follows = tuple(reached)
        heard: list[int] = state.get("heard", [0, 0])  # type: ignore[assignment]
        self.arbiter.heard_ns, self.arbiter.busy_since_ns = heard
        for row in state["streams"]:  # type: ignore[attr-defined]
            stream = Sequencer.restore(row)
            self.arbiter.by_name[stream.market, stream.stream] = stream

    def _new_session(self, epoch: int) -> None:
        if self.journal_epoch:
            self.arbiter.finish()
            self._flush_before_epoch()
        next_epoch = self.epoch + 1 if self.journal_epoch else self.epoch
        self.journal_epoch = epoch
        self.epoch = max(epoch, next_epoch)  # a day of more than 99 resets reached into the next day's numbers
        self.arbiter.new_session()

    def _on_reset(self, rx_ns: int) -> None:
        self._flush_before_epoch()
        self.epoch += 1
        self.epoch_began_ns = rx_ns
        if self.monitor is not None:
            self.monitor.reset(self.epoch, rx_ns)

    def _on_late_start(self, stream: Sequencer, rx_ns: int) -> None:
        """A stream's first message has a number above 1: what came before it may have been sent, nobody knows. Said of
        the time it came: a publisher that reads it again after a kill is to say the same."""
        market = stream.market
        where: dict[str, object] = {"market": market, "stream": stream.stream, "from": 1, "to": stream.expected - 1}
        began = self.feed.calendar.began(rx_ns, market)
        self._broadcast(FLAG_STATE, {"event": "late_start", **where, "began": began}, rx_ns)
        if self.monitor is not None:
            self.monitor.late_start(f"{market}.{stream.stream}", stream.expected, rx_ns)

    def _on_overtaken(self, stream: Sequencer, number: int, held: Held) -> None:
        """Said just before the snapshot, to whom it goes: whoever parses it leaves its images out."""
        data = json.dumps([stream.market, stream.stream, number], separators=(",", ":")).encode()
        partition = self._table[held.key] if held.key else KEYLESS_PARTITION
        self._control(partition, (held.rx_ns, held.line, FLAG_OVERTAKEN, data))

    def follow(self, epoch: int, began_ns: int, since_ns: int) -> None:
        """The other publisher of the pair is in `epoch`, which began at `began_ns`. What we receive from `since_ns` on
        is of it too, unless we see the reset ourselves before: the first of it already counts, for the other may be
        killed at any moment."""
        self.partner_epoch = (epoch, began_ns, since_ns)

    def adopt(self, epoch: int) -> None:
        """Go on under the epoch of the other publisher of the pair, which saw a reset that we did not. How far streams
        were before it says nothing in it: as a mark it would make look old what the other brings."""
        if epoch > self.epoch:
            self.arbiter.finish()  # what waits came under the epoch of before
            self._flush_before_epoch()
            if epoch == self.partner_epoch[0]:
                self.epoch_began_ns = self.partner_epoch[1]
                self.arbiter.forget_streams(self.epoch_began_ns)
            self.epoch = epoch
            for stream in self.arbiter.by_name.values():
                if stream.expected > 1 and not stream.may_restart:  # what we brought of it was in the epoch before
                    self._on_late_start(stream, self._rx_ns)

    def _flush_before_epoch(self) -> None:
        self._marked.clear()
        for partition, batch in enumerate(self._batches):
            if batch.entries:
                self._close(partition, batch)

    def _emit(self, entry: Entry, capture_seq: int, key: bytes) -> None:
        partition = self._table[key] if key else KEYLESS_PARTITION
        batch = self._batches[partition]
        entries = batch.entries
        if not entries:
            batch.first = capture_seq
        entries.append(entry)
        batch.last = capture_seq
        batch.size += len(entry[3])
        if batch.size >= BATCH_BYTES_MAX or len(entries) >= BATCH_MESSAGES_MAX:
            self._close(partition, batch)

    def _close(self, partition: int, batch: _Batch) -> None:
        batch.number += 1
        headers: dict[str, str | int] = {
            "pub": self.publisher,
            "no": batch.number,
            "feed": self.feed.name,
            "epoch": self.epoch,
            "origin": self.origin,
            "partition": partition,
            "first": batch.first,
            "last": batch.last,
            "t_rx": batch.entries[0][0],
        }
        if self.follows:
            headers["from"] = self.follows[partition]
        body = encode_block(batch.entries, feed_id=self.feed.id, epoch=self.epoch, first_seq=batch.first)
        self._closed_messages += len(batch.entries)
        self._out.append(RawMessage(partition, body, headers))
        if self.blocks is not None:
            self.blocks.append(Block(self.feed.id, self.epoch, batch.first, batch.entries))
        batch.entries = []
        batch.size = 0

    def _broadcast(self, flag: int, value: object, rx_ns: int = 0) -> None:
        data = json.dumps(value, separators=(",", ":")).encode()
        for partition in range(len(self._batches)):
            self._control(partition, (rx_ns or self._rx_ns, 0, flag, data))

    def _control(self, partition: int, entry: Entry) -> None:
        batch = self._batches[partition]
        if not batch.entries:
            batch.first = self._capture_seq
        self._controls += 1
        batch.entries.append(entry)
        batch.last = self._capture_seq
        if len(batch.entries) >= BATCH_MESSAGES_MAX:
            self._close(partition, batch)

    def _mark(self) -> None:
        """Tell every partition how far each stream is, over all of them: what the other publisher of the pair alone
        has missed is then no gap and makes nothing suspect. A stream that may restart, or has only just
        begun, has no place yet."""
        new: list[tuple[str, str, int]] = []
        for name, stream in self.arbiter.by_name.items():
            released = stream.expected - 1
            if not stream.may_restart and not stream.beginning and released > self._marked.get(name, 0):
                self._marked[name] = released
                new.append((*name, released))
        if new:
            self._broadcast(FLAG_MARK, new)

    def _on_gap(self, gap: Gap) -> None:
        self._broadcast(
            FLAG_GAP,
            {
                "market": gap.market,
                "stream": gap.stream,
                "from": gap.first,
                "to": gap.last,
                "t0": gap.t0_ns,
                "t1": gap.t1_ns,
            },
        )
        if self.monitor is not None:
            self.monitor.gap(gap, self._rx_ns)
