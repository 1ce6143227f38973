"""Ordered publishing over AMQP: a window of confirms, and go-back-N after any failure.

Theory: a message that the broker refused may be followed by ones that it took. Sending again only the refused one
would turn the order round, so everything from it on is sent again; the reader drops what it has (identity, `prev`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic_ns

from aio_pika import DeliveryMode
from aio_pika.abc import AbstractChannel, AbstractExchange
from aiormq.abc import AbstractChannel as WireChannel
from pamqp.commands import Basic

from feeds.bus.amqp.link import FAILURES, Link
from feeds.bus.base import OUTBOX_BYTES_MAX, BusDown, Outgoing

WINDOW_MESSAGES = 256  # unconfirmed at the broker; past it the sender waits for confirms
CONFIRM_S_MAX = 15.0  # a broker that is blocked (alarm) or stopped longer than this is reconnected to

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
        self._mode = DeliveryMode.PERSISTENT if persistent else DeliveryMode.NOT_PERSISTENT
        self._mandatory = mandatory
        self._unsent: deque[Item] = deque()
        self._sent: deque[tuple[Item, asyncio.Task[object]]] = deque()
        self._exchange = ""
        self._wire: WireChannel | None = None
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
                self._exchange = (await self._declare(channel)).name
                self._wire = await channel.get_underlay_channel()
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
            item, task = self._sent.pop()
            task.add_done_callback(_forget)
            task.cancel()
            self._unsent.appendleft(item)
            self._link.counts.resent += 1

    def _send_ready(self) -> None:
        """Start publishing what the window has room for; tasks start, and write their frames, in this order."""
        while self._wire is not None and self._unsent and len(self._sent) < WINDOW_MESSAGES:
            item = self._unsent.popleft()
            message = item[0]
            self._number += 1
            # Past aio-pika's Message (19 µs each, measured) and Exchange.publish: docs/decisions/0009.
            properties = Basic.Properties(
                headers=dict(message.headers),  # type: ignore[arg-type]
                delivery_mode=self._mode,
                message_id=f"{self._number:x}",
            )
            publish = self._wire.basic_publish(
                message.body,
                exchange=self._exchange,
                routing_key=self._key(message),
                properties=properties,
                mandatory=self._mandatory,
                timeout=CONFIRM_S_MAX,
                wait=False,
            )
            self._sent.append((item, asyncio.create_task(publish)))
            self._link.counts.published += 1

    async def _confirm(self) -> None:
        counts = self._link.counts
        while True:
            if not self._sent:
                self._put.clear()
                await self._put.wait()
                continue
            (message, on_confirmed), task = self._sent[0]
            started = monotonic_ns()
            try:
                await asyncio.shield(task)
            except FAILURES as error:
                counts.refused += 1
                reason = type(error).__name__
                counts.reasons[reason] = counts.reasons.get(reason, 0) + 1
                raise
            counts.blocked_ns += monotonic_ns() - started
            self._sent.popleft()
            self.backlog_bytes -= len(message.body)
            self._confirmed_count += 1
            counts.confirmed += 1
            self._send_ready()
            self._confirmed.set()
            if on_confirmed is not None:
                on_confirmed()


def _forget(task: asyncio.Task[object]) -> None:
    """The outcome of a publish that will be repeated anyway."""
    if not task.cancelled():
        task.exception()
