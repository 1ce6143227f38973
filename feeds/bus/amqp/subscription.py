"""Ordered deliveries over AMQP that survive reconnects.

After a reconnect the broker delivers again what was not acknowledged; `generation` rises, and acknowledgements of an
older generation are dropped (their tags mean nothing on the new channel).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from aio_pika.abc import AbstractChannel, AbstractQueue

from feeds.bus.amqp.inbound import Headers, consume_tapped
from feeds.bus.amqp.link import CALL_S_MAX, Link, broken_is_down, is_broken
from feeds.bus.base import BusDown, Delivery

Declare = Callable[[AbstractChannel], Awaitable[AbstractQueue]]

ACK_EVERY_S = 0.02  # one acknowledgement for all that came meanwhile; the broker works on each as on a message


class AmqpSubscription:
    """One queue, one channel; at most `prefetch` deliveries wait here or are unacknowledged (the broker keeps the
    rest)."""

    def __init__(
        self,
        link: Link,
        declare: Declare,
        *,
        prefetch: int,
        on_reconnect: Callable[[], None] | None = None,
        owns_link: bool = False,
    ) -> None:
        """`owns_link`: nobody else uses the connection; it is closed with the subscription."""
        self._link = link
        self._owns_link = owns_link
        self._declare = declare
        self._prefetch = prefetch
        self._on_reconnect = on_reconnect
        self._waiting: deque[Delivery] = deque()
        self._arrived = asyncio.Event()
        self._ack_due = asyncio.Event()
        self._ack_tag = 0
        self._generation = 0
        self.closed = False
        self._task = asyncio.create_task(self._run(), name=f"subscription {link.name}")

    def get_nowait(self) -> Delivery | None:
        return self._waiting.popleft() if self._waiting else None

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        while not self.closed:
            if self._waiting:
                yield self._waiting.popleft()
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def ack(self, delivery: Delivery) -> None:
        if delivery.generation == self._generation and delivery.tag > self._ack_tag:
            self._ack_tag = delivery.tag
            self._ack_due.set()

    async def close(self) -> None:
        """Write the last acknowledgement and leave; the rest goes back to the queue."""
        self.closed = True
        self._arrived.set()
        if self._ack_due.is_set():
            await asyncio.sleep(0.05)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._owns_link:
            await self._link.close()

    async def _run(self) -> None:
        while True:
            channel: AbstractChannel | None = None
            try:
                channel = await self._link.channel()
                await self._consume(channel)
            except (Exception, asyncio.CancelledError) as error:
                if not is_broken(error):
                    if channel is not None:
                        await _close(channel)
                    raise
                self._waiting.clear()
                await self._link.drop_with(channel)
                await self._link.pause(error)

    async def _consume(self, channel: AbstractChannel) -> None:
        async with asyncio.timeout(CALL_S_MAX):
            await channel.set_qos(prefetch_count=self._prefetch)
            queue = await self._declare(channel)
        self._generation += 1
        self._ack_tag = 0
        self._ack_due.clear()
        if self._generation > 1 and self._on_reconnect is not None:
            self._on_reconnect()
        wire = await channel.get_underlay_channel()
        cancelled = asyncio.Event()  # the broker does so when the queue is deleted; the channel stays open
        wire.on_consumer_cancel_callbacks.add(lambda _frame: cancelled.set())
        async with asyncio.timeout(CALL_S_MAX):
            await consume_tapped(channel, queue.name, self._receive)
        closed = asyncio.ensure_future(channel.closed())
        gone = asyncio.create_task(cancelled.wait())
        acking = asyncio.create_task(self._write_acks(channel))
        try:
            await asyncio.wait({closed, gone, acking}, return_when=asyncio.FIRST_COMPLETED)
            if acking.done():
                acking.result()
            raise BusDown(f"{self._link.name}: {'the queue was deleted' if gone.done() else 'the channel was closed'}")
        finally:
            closed.cancel()
            gone.cancel()
            acking.cancel()

    def _receive(self, tag: int, headers: Headers, body: bytes) -> None:
        self._waiting.append(Delivery(body, headers, self._generation, tag))
        self._link.counts.delivered += 1
        self._arrived.set()

    async def _write_acks(self, channel: AbstractChannel) -> None:
        underlay = await channel.get_underlay_channel()
        while True:
            await self._ack_due.wait()
            self._ack_due.clear()
            await underlay.basic_ack(self._ack_tag, multiple=True)
            await asyncio.sleep(ACK_EVERY_S)


async def _close(channel: AbstractChannel) -> None:
    with contextlib.suppress(BusDown), broken_is_down("closing"):
        await asyncio.wait_for(channel.close(), 1.0)
