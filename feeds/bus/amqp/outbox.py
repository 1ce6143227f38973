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

from feeds.bus.amqp.frames import PublishEncoder
from feeds.bus.amqp.link import FAILURES, Link
from feeds.bus.base import OUTBOX_BYTES_MAX, BusDown, Outgoing

WINDOW_MESSAGES = 256  # unconfirmed at the broker; past it the sender waits for confirms
CONFIRM_S_MAX = 15.0  # a broker that is blocked (alarm) or stopped longer than this is reconnected to
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
        self._sent: deque[tuple[Item, asyncio.Future[object]]] = deque()
        self._encoder: PublishEncoder | None = None
        self._wire: WireChannel | None = None
        self._later: asyncio.TimerHandle | None = None
        self._number = 0
        self._put = asyncio.Event()
        self._confirmed = asyncio.Event()
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
        self._put.set()

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
                channel = await self._link.channel(confirms=True)
                exchange = (await self._declare(channel)).name
                wire = await channel.get_underlay_channel()
                self._encoder = PublishEncoder(
                    exchange,
                    wire.number,
                    persistent=self._persistent,
                    mandatory=self._mandatory,
                    body_bytes_max=wire.max_content_size,
                )
                self._wire = wire
                self._send_ready()
                await self._confirm()
            except (*FAILURES, BusDown) as error:
                self._wire = None
                self._take_back()
                await self._link.drop()
                await self._link.pause(error)

    def _take_back(self) -> None:
        """Everything sent and not confirmed goes to the front again, in order."""
        while self._sent:
            item, confirmed = self._sent.pop()
            confirmed.add_done_callback(_forget)
            confirmed.cancel()
            self._unsent.appendleft(item)
            self._link.counts.resent += 1

    def _send_ready(self) -> None:
        """Publish what the window has room for. The frames go to the connection's writer in this order."""
        wire = self._wire
        if wire is None or self._encoder is None:
            return
        while self._unsent and len(self._sent) < WINDOW_MESSAGES:
            if wire.write_queue.full():  # of the connection's writer, a few frames: it takes them a moment later
                if self._later is None:
                    self._later = asyncio.get_running_loop().call_later(WRITER_BUSY_S, self._send_later)
                return
            item = self._unsent.popleft()
            self._sent.append((item, self._publish(wire, self._encoder, item[0])))
            self._link.counts.published += 1

    def _send_later(self) -> None:
        self._later = None
        self._send_ready()

    def _publish(self, wire: WireChannel, encoder: PublishEncoder, message: Outgoing) -> asyncio.Future[object]:
        """aiormq's basic_publish without its task, lock and frame objects: docs/decisions/0009."""
        self._number += 1
        message_id = f"{self._number:x}"
        if wire.is_closed:
            confirmed: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            confirmed.set_exception(BusDown(f"{self._link.name}: the channel is closed"))
            confirmed.exception()  # read here: when the outbox is closed first, nobody else does
            return confirmed
        frames = encoder.encode(self._key(message), message_id, headers=message.headers, body=message.body)
        wire.delivery_tag += 1
        confirmed = wire.create_future()
        wire.confirmations[wire.delivery_tag] = confirmed
        if self._mandatory:  # a return names the message, not the tag
            wire.message_id_delivery_tag[message_id] = wire.delivery_tag
            confirmed.add_done_callback(lambda _: wire.message_id_delivery_tag.pop(message_id, None))
        wire.write_queue.put_nowait(ChannelFrame(frames, should_close=False))
        return confirmed

    async def _confirm(self) -> None:
        counts = self._link.counts
        while True:
            if not self._sent:
                self._put.clear()
                await self._put.wait()
                continue
            (message, on_confirmed), confirmed = self._sent[0]
            try:
                if not confirmed.done():
                    started = monotonic_ns()
                    async with asyncio.timeout(CONFIRM_S_MAX):
                        await asyncio.shield(confirmed)
                    counts.blocked_ns += monotonic_ns() - started
                confirmed.result()
            except FAILURES as error:
                counts.refused += 1
                reason = type(error).__name__
                counts.reasons[reason] = counts.reasons.get(reason, 0) + 1
                raise
            self._sent.popleft()
            self.backlog_bytes -= len(message.body)
            self._confirmed_count += 1
            counts.confirmed += 1
            self._send_ready()
            self._confirmed.set()
            if on_confirmed is not None:
                on_confirmed()


def _forget(confirmed: asyncio.Future[object]) -> None:
    """The outcome of a publish that will be repeated anyway."""
    if not confirmed.cancelled():
        confirmed.exception()
