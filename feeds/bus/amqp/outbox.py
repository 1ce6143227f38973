"""Ordered publishing over AMQP: a window of confirms, and go-back-N after any failure.

Theory: a message that the broker refused may be followed by ones that it took. Sending again only the refused one
would turn the order round, so everything from it on is sent again; the reader drops what it has (identity, `prev`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic_ns

from aio_pika.abc import AbstractChannel, AbstractExchange
from aiormq.abc import AbstractChannel as WireChannel
from aiormq.abc import ChannelFrame

from feeds.bus.amqp.confirms import ConfirmTap
from feeds.bus.amqp.frames import PublishEncoder
from feeds.bus.amqp.link import CALL_S_MAX, Link, is_broken
from feeds.bus.base import OUTBOX_BYTES_MAX, BusDown, Outgoing

WINDOW_MESSAGES = 256  # unconfirmed at the broker; past it the sender waits for confirms
CONFIRM_S_MAX = 15.0  # a broker that is blocked (alarm) or stopped longer than this is reconnected to
LOOK_S = 1.0
WRITER_BUSY_S = 0.001

Declare = Callable[[AbstractChannel], Awaitable[AbstractExchange]]
Item = tuple[Outgoing, Callable[[], None] | None]


class AmqpOutbox:
    """One exchange, one channel, one order."""

    def __init__(
        self, link: Link, declare: Declare, key: Callable[[Outgoing], str], *, persistent: bool, mandatory: bool
    ) -> None:
        self._link = link
        self._declare = declare
        self._key = key
        self._persistent = persistent
        self._mandatory = mandatory
        self._unsent: deque[Item] = deque()
        self._sent: deque[Item] = deque()
        self._moved_ns = 0  # when the oldest of them became it
        self._encoder: PublishEncoder | None = None
        self._wire: WireChannel | None = None
        self._later: asyncio.TimerHandle | None = None
        self._number = 0
        self._confirmed = asyncio.Event()
        self._refusal: asyncio.Future[str] | None = None
        self.backlog_bytes = 0
        self._put_count = 0
        self._confirmed_count = 0
        self._task = asyncio.create_task(self._run(), name=f"outbox {link.name}")

    async def put(self, message: Outgoing, on_confirmed: Callable[[], None] | None = None) -> None:
        while self.backlog_bytes >= OUTBOX_BYTES_MAX:  # at the bound: wait; the source (journal, RAW) keeps the rest
            await self._until_confirmed()
        self.backlog_bytes += len(message.body)
        self._put_count += 1
        self._unsent.append((message, on_confirmed))
        self._send_ready()

    async def drained(self) -> None:
        until = self._put_count  # what is put meanwhile is not waited for: under load the outbox is never empty
        while self._confirmed_count < until:
            await self._until_confirmed()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._take_back()
        self._confirmed.set()
        await self._link.close()

    async def _until_confirmed(self) -> None:
        if self._task.done():
            raise BusDown(f"{self._link.name}: the outbox is closed")
        self._confirmed.clear()
        await self._confirmed.wait()

    async def _run(self) -> None:
        while True:
            try:
                await self._publish_on(await self._link.channel(confirms=True))
            except (Exception, asyncio.CancelledError) as error:
                if not is_broken(error):
                    raise
                self._wire = None
                self._take_back()
                await self._link.drop()
                await self._link.pause(error)

    async def _publish_on(self, channel: AbstractChannel) -> None:
        """Send on `channel` until it fails, which raises."""
        async with asyncio.timeout(CALL_S_MAX):
            exchange = (await self._declare(channel)).name
            wire = await channel.get_underlay_channel()
        self._encoder = PublishEncoder(
            exchange,
            wire.number,
            persistent=self._persistent,
            mandatory=self._mandatory,
            body_bytes_max=wire.max_content_size,
        )
        failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def refused(reason: str) -> None:
            if not failure.done():
                failure.set_result(reason)

        def confirmed(more: int) -> None:
            if self._wire is wire:  # what an older channel still says is of the past
                self._take_confirms(more)

        wire.frames = ConfirmTap(wire.frames, confirmed, refused)  # type: ignore[assignment]
        channel.close_callbacks.add(lambda _channel, why: refused(f"channel closed: {type(why).__name__}: {why}"))
        self._wire, self._moved_ns = wire, monotonic_ns()
        self._send_ready()
        while not failure.done():
            if wire.is_closed:  # before the callback was in place
                refused("channel closed")
            await asyncio.wait({failure}, timeout=LOOK_S)
            if self._sent and monotonic_ns() - self._moved_ns > CONFIRM_S_MAX * 1e9:
                refused(f"no confirmation for {CONFIRM_S_MAX:.0f} s")
        reason = failure.result()
        if self._sent:
            self._link.counts.refused += 1
            kind, reasons = reason.partition(":")[0], self._link.counts.reasons
            reasons[kind] = reasons.get(kind, 0) + 1
        raise BusDown(f"{self._link.name}: {reason}")

    def _take_confirms(self, more: int) -> None:
        """The oldest `more` of what was sent are safe at the broker."""
        now, counts = monotonic_ns(), self._link.counts
        counts.blocked_ns += now - self._moved_ns
        counts.confirmed += more
        self._link.progressed()
        self._moved_ns = now
        self._confirmed_count += more
        for _ in range(more):
            message, on_confirmed = self._sent.popleft()
            self.backlog_bytes -= len(message.body)
            if on_confirmed is not None:
                on_confirmed()
        self._send_ready()
        self._confirmed.set()

    def _take_back(self) -> None:
        """Everything sent and not confirmed goes to the front again, in order."""
        self._link.counts.resent += len(self._sent)
        self._unsent.extendleft(reversed(self._sent))
        self._sent.clear()

    def _send_ready(self) -> None:
        """Publish what the window has room for. The frames go to the connection's writer in this order."""
        wire, encoder = self._wire, self._encoder
        if wire is None or encoder is None or wire.is_closed:
            return
        if not self._sent:
            self._moved_ns = monotonic_ns()
        while self._unsent and len(self._sent) < WINDOW_MESSAGES:
            if wire.write_queue.full():  # of the connection's writer, a few frames: it takes them a moment later
                if self._later is None:
                    self._later = asyncio.get_running_loop().call_later(WRITER_BUSY_S, self._send_later)
                return
            item = self._unsent.popleft()
            self._sent.append(item)
            message = item[0]
            self._number += 1
            frames = encoder.encode(self._key(message), f"{self._number:x}", headers=message.headers, body=message.body)
            # aiormq's basic_publish without its task, lock, future and frame objects: docs/decisions/0009.
            wire.write_queue.put_nowait(ChannelFrame(frames, should_close=False))
            self._link.counts.published += 1

    def _send_later(self) -> None:
        self._later = None
        self._send_ready()
