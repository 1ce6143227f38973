"""The stream layer: a Channels layer whose groups are the hub's streams and whose channels are bounded outboxes.

A session's channel has a seat: its outbox and a sink, the socket it is written to. `tick` is the one flush ticker of
the process: it writes what the sinks can take and lets the outboxes of the others settle; seats that have nothing cost
it nothing. Plain Channels use (`send`,
`receive`, groups of any other name) works as in the stock layers, bounded by `capacity`; past it: ChannelFull.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from channels.exceptions import ChannelFull
from channels.layers import BaseChannelLayer, get_channel_layer

from subscriptions.close_codes import CloseCode, close_reason
from subscriptions.entitlements import Grant
from subscriptions.gateway.admission import Admission
from subscriptions.gateway.batches import Batches
from subscriptions.gateway.catalog import Catalog
from subscriptions.gateway.encodings import Frames, JsonFrames
from subscriptions.gateway.following import Member, stream_name
from subscriptions.gateway.heads import LIVE, stream_key
from subscriptions.gateway.hub import Hub
from subscriptions.gateway.local_sessions import LocalSessions
from subscriptions.gateway.open_keys import OpenKeys
from subscriptions.gateway.outbox import Outbox
from subscriptions.gateway.places import Places
from subscriptions.gateway.session import Session
from subscriptions.gateway.shared_sessions import counted_as
from subscriptions.gateway.totals import Totals
from subscriptions.gateway.views import FULL, View
from subscriptions.gateway.wheel import Wheel

FLUSH_BYTES_MAX = 524_288  # fanned out since a flush began; past it the intake ticks at once, so outboxes stay bounded
SLICE_SEATS = 128  # about a millisecond of writing
FIRST_LOOK_NS = 1_000_000_000  # at a new session, which may have no key
RETRY_AFTER_MS = (500, 5_000)  # jitter of a reconnect


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    flush_ms: int = 10
    outbox_bytes_max: int = 1_048_576
    heartbeat_s: int = 15
    fill_s: float = 30.0  # of PARSED fetched at the start, for resumes from before it; 0: none
    origins: tuple[str, ...] = ()  # browser origins allowed beside the gateway's own host
    sessions_max: int = 20_000  # of the process; past it: OVERLOADED
    sessions_per_address_max: int = 1_000  # but for this machine's own; past it: OVERLOADED
    authenticate_s: float = 10.0  # without a key and without a subscription for longer: close 4401


class Sink(Protocol):
    """Where a seat's frames go. `write` never waits; it is called only while `writable`."""

    def writable(self) -> bool: ...

    def write(self, frames: list[bytes]) -> None: ...

    def cut(self, code: int, reason: str) -> None: ...


@dataclass(slots=True, eq=False)
class Seat:
    session: Session
    outbox: Outbox
    sink: Sink
    write_framed: Callable[[bytes], None] | None = None  # of a sink that takes frames with their headers
    cut: bool = False
    counted_as: str = ""  # whose session limit it uses up
    key_id: str | None = None  # that `open_keys` has it under


@dataclass(slots=True)
class Mailbox:
    """The plain messages of one channel, a list: every session has one, nearly always empty; at `capacity` a send
    raises ChannelFull."""

    messages: list[dict[str, object]] = field(default_factory=list)
    waiter: asyncio.Future[None] | None = None


class StreamLayer(BaseChannelLayer):  # type: ignore[misc]
    extensions = ["groups", "flush"]

    def __init__(self, *, expiry: int = 60, capacity: int = 100, clock_ns: Callable[[], int] = time.time_ns) -> None:
        super().__init__(expiry=expiry, capacity=capacity)
        self.clock_ns = clock_ns
        self.settings = GatewaySettings()
        self.hub = Hub()
        self.hub.on_renumbered = self._lose_state
        self.catalog = Catalog(self.hub.symbols)
        self.seats: dict[str, Seat] = {}
        self.totals = Totals()
        self.admission = Admission(self)
        self.closing = False
        self.filled = asyncio.Event()  # cleared while an intake fetches the last seconds at its start
        self.filled.set()
        self.sessions = LocalSessions()
        self.open_keys = OpenKeys()
        self._mailboxes: dict[str, Mailbox] = {}
        self._groups: dict[str, set[str]] = {}
        self.places = Places()  # who is looked at when, beside the members of `hub.fresh`
        self.wheel = Wheel()  # when each session is looked after
        self.ticked_ns = 0  # when everybody was written to at once
        self._bytes_at_flush = 0
        self._bucket_numbers: dict[int, int] = {}  # conflation bucket → number of the one that was flushed last

    # Data

    def publish(self, body: bytes, origin: str = LIVE) -> int:
        """Fan one PARSED message out. Never waits."""
        count = self.hub.publish(body, origin)
        if self.hub.bytes_in - self._bytes_at_flush >= FLUSH_BYTES_MAX:
            self.tick()
        return count

    def tick(self) -> int:
        """Write to every seat that has something and can take it; let the rest settle. How many had something."""
        self.ticked_ns = self.clock_ns()
        return sum(self.slices())

    def slices(self, turn: int = 0, turns: int = 1) -> Iterator[int]:
        """One of the turns of a flush, in slices of seats, how many each time: between them sockets may be read and
        records fanned out."""
        now_ns = self.clock_ns()
        if turn == 0:
            self._bytes_at_flush = self.hub.bytes_in
        self._flush_buckets(now_ns // 1_000_000)
        if self.hub.bars_over:
            self.hub.close_bars()
        if self.hub.fresh:
            self.places.note(self.hub.fresh, len(self.seats))
            self.hub.fresh.clear()
        batches = Batches()
        seats, count = self.seats, 0
        for name in self.places.due(turn, turns):
            if count == SLICE_SEATS:
                yield count
                count = 0
            seat = seats.get(name)
            if seat is None or seat.cut:
                continue
            outbox = seat.outbox
            if not (outbox.pending or outbox.slow):
                continue
            count += 1
            if seat.write_framed is not None and seat.sink.writable():
                frame = outbox.take_framed(batches, now_ns)
                if frame is not None:
                    seat.write_framed(frame)
                    if not (outbox.lost or seat.session.member.behind):
                        continue
            self.flush_seat(seat, now_ns)
        woken, self.hub.catch_up.woken = self.hub.catch_up.woken, []
        for name in woken:
            if name in self.seats:
                self.flush_seat(self.seats[name], now_ns)
        yield count

    def _flush_buckets(self, now_ms: int) -> None:
        """The conflation buckets that are over; they end at the same moments for everybody."""
        waiting = self.hub.waiting
        for bucket_ms in list(waiting):
            if now_ms // bucket_ms != self._bucket_numbers.get(bucket_ms):
                self._bucket_numbers[bucket_ms] = now_ms // bucket_ms
                self.hub.flush_bucket(bucket_ms)

    def flush_seat(self, seat: Seat, now_ns: int | None = None) -> None:
        """Write what the sink can take; while something is left, every tick looks at the seat."""
        if seat.cut:
            return
        self._write(seat, now_ns or self.clock_ns())
        if (seat.outbox.pending or seat.outbox.slow) and not seat.cut:
            seat.outbox.wake()

    def _write(self, seat: Seat, now_ns: int) -> None:
        outbox, sink = seat.outbox, seat.sink
        while sink.writable():
            frames = outbox.take(now_ns)
            if frames:
                sink.write(frames)
                continue
            member = self.hub.members.get(seat.session.name)
            if member is None or not (outbox.lost or member.behind):
                return
            self.hub.restore(member, now_ns=now_ns)
            if not outbox.pending:
                return
        if outbox.settle(now_ns):
            self.cut(seat, CloseCode.SLOW, "SLOW")

    # Seats

    def open_seat(self, name: str, sink: Sink, *, frames: Frames = JsonFrames) -> Seat:
        outbox = Outbox(self.settings.outbox_bytes_max, name=name)
        outbox.frames, outbox.ready, outbox.sums = frames, self.places.take(name).ready, self.totals
        session = Session(name, hub=self.hub, catalog=self.catalog, outbox=outbox, clock_ns=self.clock_ns)
        seat = self.seats[name] = Seat(session, outbox, sink, getattr(sink, "write_framed", None))
        self.wheel.put(name, self.clock_ns() + FIRST_LOOK_NS)
        self.totals.opened += 1
        return seat

    def close_seat(self, name: str) -> None:
        seat = self.seats.pop(name, None)
        if seat is not None:
            seat.session.close()
            self.uncount(seat)
            self.open_keys.remove(seat)
            self.totals.end(seat.outbox)
        self._mailboxes.pop(name, None)
        self.places.leave(name)

    def cut(self, seat: Seat, code: CloseCode, error: str, *, retry: bool = True) -> None:
        """Close one session now, whatever it has queued; a client that may come back is told when."""
        if seat.cut:
            return
        seat.cut = True
        seat.session.state = "closing"
        self.hub.remove_member(seat.session.name)
        self.open_keys.remove(seat)
        self.totals.closes[int(code)] += 1
        retry_after_ms = random.randint(*RETRY_AFTER_MS) if retry and code < 4400 else None
        seat.sink.cut(int(code), close_reason(error, retry_after_ms=retry_after_ms))

    def _lose_state(self, member: Member) -> None:
        """Who follows a stream whose numbers begin again comes back, and is told a gap where it resumes."""
        seat = self.seats.get(member.name)
        if seat is not None:
            self.cut(seat, CloseCode.STATE_LOST, "STATE_LOST")

    def shut_down(self) -> None:
        """Tell every client to come back somewhere else, and take no new ones."""
        self.closing = True
        self.tick()
        for seat in list(self.seats.values()):
            self.flush_seat(seat)  # a tick may be between two slices
            self.cut(seat, CloseCode.SHUTDOWN, "SHUTDOWN")

    def count_session(self, seat: Seat, grant: Grant) -> int:
        """Sessions that the subscriber has with this one; those without a key count by address."""
        self.uncount(seat)
        seat.counted_as = counted_as(grant) if grant.key_id else f"address {seat.session.address}"
        return self.sessions.add(seat.counted_as, seat)

    def uncount(self, seat: Seat) -> None:
        """Once a session: at its end, or before it counts for somebody else."""
        if seat.counted_as:
            self.sessions.remove(seat.counted_as, seat)
            seat.counted_as = ""

    # The Channels interface

    async def new_channel(self, prefix: str = "stream") -> str:
        return f"{prefix}.{uuid.uuid4().hex}"

    async def send(self, channel: str, message: dict[str, object]) -> None:
        mailbox = self._mailboxes.setdefault(channel, Mailbox())
        if len(mailbox.messages) >= self.capacity:
            raise ChannelFull(channel)
        mailbox.messages.append(message)
        if mailbox.waiter is not None and not mailbox.waiter.done():
            mailbox.waiter.set_result(None)

    async def receive(self, channel: str) -> dict[str, object]:
        mailbox = self._mailboxes.setdefault(channel, Mailbox())
        try:
            while not mailbox.messages:
                mailbox.waiter = asyncio.get_running_loop().create_future()
                await mailbox.waiter
            return mailbox.messages.pop(0)
        finally:
            if not mailbox.messages:
                self._mailboxes.pop(channel, None)

    async def group_add(self, group: str, channel: str) -> None:
        """A stream's group (`stream_group`) joins its channel's outbox to the stream; others are sets of channels."""
        stream = _stream_of(group)
        if stream is None:
            self._groups.setdefault(group, set()).add(channel)
        else:
            origin, level, name, symbol = stream
            self.hub.join(channel, origin, symbol, view=View(name, level))

    async def group_discard(self, group: str, channel: str) -> None:
        stream = _stream_of(group)
        if stream is not None:
            origin, _, name, symbol = stream
            return self.hub.leave(channel, stream_name(origin, stream_key(name, symbol)))
        channels = self._groups.get(group, set())
        channels.discard(channel)
        if not channels:
            self._groups.pop(group, None)

    async def group_send(self, group: str, message: dict[str, object]) -> None:
        """To a stream's group `{"type": "stream.records", "body": bytes}`; elsewhere a full channel is passed over."""
        stream = _stream_of(group)
        body = message.get("body")
        if stream is not None and isinstance(body, bytes):
            self.publish(body, stream[0])
            return
        for channel in list(self._groups.get(group, ())):
            try:
                await self.send(channel, message)
            except ChannelFull:
                self.totals.messages_dropped += 1

    async def flush(self) -> None:
        """Forget everything, as Channels' extension of this name does."""
        for name in list(self.seats):
            self.close_seat(name)
        self._groups.clear()
        self._mailboxes.clear()


def stream_group(channel: str, symbol: str, *, origin: str = LIVE, level: int = FULL) -> str:
    """The group name of a stream at a level: `stream|live|0|depth|FPT`."""
    return f"stream|{origin}|{level}|{channel}|{symbol}"


def _stream_of(group: str) -> tuple[str, int, str, str] | None:
    parts = group.split("|", 4)
    if len(parts) != 5 or parts[0] != "stream":
        return None
    return parts[1], int(parts[2]), parts[3], parts[4]


def stream_layer() -> StreamLayer:
    """The process's stream layer, as Channels configured it."""
    layer = get_channel_layer()
    if not isinstance(layer, StreamLayer):
        raise TypeError(f"CHANNEL_LAYERS['default'] is {type(layer).__name__}: expected StreamLayer")
    return layer
