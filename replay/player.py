"""The player: reads a range of the journal, paces it, sends it through a RAW stage of its own.

It knows neither rows nor brokers: progress goes to a ledger, messages to a bus, time comes from a clock. What it sends
carries the origin of its job, so nothing of it reaches live books or live subscribers.

Resume. The checkpoint is the end of a chunk that is confirmed whole, at a moment when the stage held nothing back, with
the stage's state there. A second player starts at it and sends the next chunks whole; what the first one sent of them
has the same identity, and the parser drops it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from feeds.blocks import Block, Entry, decode_block, encode_block
from feeds.capture.raw_stage import RawMessage, RawStage
from feeds.journal import Position
from replay.bus_door import RawDoor
from replay.checkpoints import Checkpoint, Progress
from replay.pacing import Pacer
from replay.sender import CONTROL, Clock, Sender, datagrams

CHUNK_BYTES = 64 * 1024
BATCH_DATAGRAMS_MAX = 400  # one stage turn; the rate cap and a cancel are looked at between two
BEAT_NS = 400_000_000  # checkpoint and cancel check: at least twice a second
SLEEP_NS_MAX = 200_000_000
SLEEP_NS_MIN = 1_000_000  # uvloop's timers have this resolution
# Pushed before and behind the range, and thrown away: so the range holds what live released in it, no second copy
# whose first one came before its start, and all that waited for a hole to fill at its end.
PREROLL_NS = POSTROLL_NS = 1_000_000_000
TAIL_WAIT_NS = 2_000_000_000  # a range that ends "now": how long after its end the journal may still grow

COMPLETED, STOPPED = "completed", "stopped"


class Ledger(Protocol):
    """Where progress goes. `checkpoint` answers False when the player must stop."""

    async def checkpoint(self, progress: Progress) -> bool: ...


class Journal(Protocol):
    """What the player reads (feeds.journal.JournalReader)."""

    def seek_time(self, rx_ns: int) -> Position: ...

    def read(self, position: Position, bytes_max: int) -> tuple[list[Block], Position]: ...


@dataclass(frozen=True, slots=True)
class PlayOrder:
    """What to play. `resume` is the progress of an earlier claim; [from_ns, to_ns) is receive time. `isins`: only the
    messages of these instruments; empty: all."""

    from_ns: int
    to_ns: int
    speed: float
    messages_per_s_max: int
    resume: Checkpoint | None = None
    isins: frozenset[str] = frozenset()


def within(
    message: RawMessage, from_ns: int, *, to_ns: int, wanted: re.Pattern[bytes] | None = None
) -> RawMessage | None:
    """What of `message` was received in [from_ns, to_ns) and is wanted: usually all of it; None when nothing is."""
    block, _end = decode_block(message.body)
    inside = [entry for entry in block.entries if from_ns <= entry[0] < to_ns]
    if wanted is not None:
        inside = [entry for entry in inside if entry[2] & CONTROL or wanted.search(entry[3])]
    if len(inside) == len(block.entries):
        return message
    if not inside:
        return None
    body = encode_block(inside, feed_id=block.feed_id, epoch=block.epoch, first_seq=block.first_seq)
    return RawMessage(message.partition, body, {**message.headers, "t_rx": inside[0][0]})


def messages_of(isins: Collection[str]) -> re.Pattern[bytes] | None:
    """Finds the messages of these instruments (tag 55); None when all are wanted."""
    if not isins:
        return None
    return re.compile(b"\x0155=(?:%b)\x01" % b"|".join(re.escape(isin.encode()) for isin in sorted(isins)))


class _Stop(Exception):
    """The ledger said stop."""


class Player:
    """One claim of one job, from its checkpoint to the end of its range."""

    def __init__(
        self, order: PlayOrder, *, journal: Journal, stage: RawStage, bus: RawDoor, ledger: Ledger, clock: Clock
    ) -> None:
        self._order = order
        self._journal = journal
        self._stage = stage
        self._ledger = ledger
        self._clock = clock
        self._wanted = messages_of(order.isins)
        self._numbers: dict[int, int] = {}  # of the last message sent, by partition
        self._sender = Sender(bus, clock=clock, on_wait=self._beat)
        self._sent_before = self._staged = order.resume.messages_sent if order.resume else 0
        self._current_ns = order.from_ns
        self._beat_at_ns = 0
        self._past_end = False  # the stage has seen what lies behind the range

    async def run(self) -> str:
        """Play to the end: `completed`; or `stopped`, because the ledger said so. BusAway, OSError: it failed."""
        order, resume = self._order, self._order.resume
        if resume is None:
            position = self._journal.seek_time(order.from_ns - PREROLL_NS)
        else:
            position = Position(resume.segment, resume.offset)
            if resume.is_seek:
                position = self._journal.seek_time(resume.current_ns - PREROLL_NS)
            self._stage.restore(resume.stage)
            self._current_ns = max(resume.current_ns, order.from_ns)
        self._pacer = Pacer(
            speed=order.speed,
            messages_per_s_max=order.messages_per_s_max,
            start_rx_ns=self._current_ns,
            start_now_ns=self._clock.now_ns(),
        )
        try:
            await self._beat(at_once=True)
            ended = False
            while not ended:
                blocks, after = self._journal.read(position, CHUNK_BYTES)
                if after == position:
                    if self._clock.now_ns() >= order.to_ns + TAIL_WAIT_NS:
                        break
                    await self._rest(SLEEP_NS_MAX)
                    continue
                position = after
                for block in blocks:
                    ended = await self._play(block) or ended
                self._remember(position)
            await self._end()
        except _Stop:
            return STOPPED
        finally:
            await self._sender.close()
        return COMPLETED

    async def _play(self, block: Block) -> bool:
        """Push one block through the stage, what lies in the range when it is due. True when the range has ended."""
        order, entries, start = self._order, block.entries, 0
        while start < len(entries):
            rx_ns = entries[start][0]
            if not order.from_ns <= rx_ns < order.to_ns:
                end = start + 1  # only the stage sees it: it tells first copies from second ones at the edges
            else:
                end = self._due(entries, start)
            if end == start:
                await self._rest(self._pacer.wait_ns(rx_ns, now_ns=self._clock.now_ns()))
                continue
            self._stage.push(Block(block.feed_id, block.epoch, block.first_seq + start, entries[start:end]))
            await self._publish(self._stage.drain())
            if rx_ns < order.to_ns:
                self._current_ns = max(self._current_ns, rx_ns)
            else:
                self._past_end = True
            start = end
            await self._beat()
        return bool(entries) and entries[0][0] >= order.to_ns + POSTROLL_NS

    def _remember(self, position: Position) -> None:
        """Make `position` the checkpoint when nothing before it waits in the stage. Not behind the end of the range: a
        job that goes on from there would never send what the stage has taken in already."""
        if self._stage.arbiter.oldest_waiting() is None and not self._past_end:
            checkpoint = Checkpoint(
                segment=position.segment,
                offset=position.offset,
                stage=self._stage.state(),
                current_ns=self._current_ns,
                messages_sent=self._staged,
            )
            self._sender.mark(checkpoint)

    def _due(self, entries: Sequence[Entry], start: int) -> int:
        """The end of what may go now, from `start` on."""
        now_ns = self._clock.now_ns()
        if self._pacer.wait_ns(entries[start][0], now_ns=now_ns):
            return start
        horizon = self._pacer.horizon_rx_ns(now_ns)
        last_ns = self._order.to_ns - 1 if horizon is None else min(horizon, self._order.to_ns - 1)
        end = start + 1
        while end < min(len(entries), start + BATCH_DATAGRAMS_MAX) and entries[end][0] <= last_ns:
            end += 1
        return end

    async def _publish(self, released: Sequence[RawMessage]) -> None:
        """Send what of `released` lies in the range."""
        order, wanted = self._order, self._wanted
        found = [within(message, order.from_ns, to_ns=order.to_ns, wanted=wanted) for message in released]
        messages = [message for message in found if message is not None]
        if messages:
            count = sum(datagrams(message) for message in messages)
            self._staged += count
            self._pacer.sent(count, now_ns=self._clock.now_ns())
            await self._sender.put([self._numbered(message) for message in messages])

    def _numbered(self, message: RawMessage) -> RawMessage:
        """A message with the number behind its predecessor's: what was left out of the range leaves no hole, which a
        parser would take for a message that is still to come. So what a restored stage says it follows, in its own
        numbers, goes too: a claim's chain begins at 1."""
        number = self._numbers[message.partition] = self._numbers.get(message.partition, 0) + 1
        headers = {name: value for name, value in message.headers.items() if name != "from"}
        return RawMessage(message.partition, message.body, headers | {"no": number})

    async def _end(self) -> None:
        """Release what is still held, then say that it is over: one control message per partition, behind all data."""
        self._stage.finish()
        await self._publish(self._stage.drain())
        await self._sender.put([self._numbered(message) for message in self._stage.end()])
        await self._sender.settle()
        self._current_ns = self._order.to_ns
        await self._beat(at_once=True)

    async def _rest(self, wait_ns: int) -> None:
        """Wait, but never past the next beat."""
        await self._clock.sleep_ns(min(max(wait_ns, SLEEP_NS_MIN), SLEEP_NS_MAX))
        await self._beat()

    async def _beat(self, *, at_once: bool = False) -> None:
        now_ns = self._clock.now_ns()
        if not at_once and now_ns - self._beat_at_ns < BEAT_NS:
            return
        self._beat_at_ns = now_ns
        sent = self._sent_before + self._sender.messages_confirmed
        progress = Progress(self._sender.safe or self._order.resume, self._current_ns, sent)
        if not await self._ledger.checkpoint(progress):
            raise _Stop
