"""One AMQP connection that is opened again when it is lost, with a pause that grows to two seconds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from weakref import WeakSet

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection

from feeds.bus.amqp import inbound
from feeds.bus.base import BusCounts, BusDown

log = logging.getLogger(__name__)
inbound.install()

RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
CONNECT_S_MAX = 5.0
CALL_S_MAX = 15.0  # a call on a connection that breaks under it may never be answered
STEADY_S = 5.0  # a connection that held so long ends a row of attempts
# What a broken connection, channel or broker raises through aio-pika. RuntimeError: a channel that was just closed.
FAILURES = (aio_pika.exceptions.AMQPError, OSError, asyncio.TimeoutError, RuntimeError)


def is_broken(error: BaseException) -> bool:
    """Whether `error` says that the connection broke. To a call that waits on a connection which another of its users
    closes, aiormq raises a bare Exception or cancels it: the task that waits is not the one that was cancelled then,
    and must not end of it."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or not task.cancelling()
    return isinstance(error, (*FAILURES, BusDown)) or type(error) is Exception


@contextlib.contextmanager
def broken_is_down(what: str) -> Iterator[None]:
    """Whatever a broken connection raises, as BusDown."""
    try:
        yield
    except BusDown:
        raise
    except (Exception, asyncio.CancelledError) as error:
        if not is_broken(error):
            raise
        raise BusDown(f"{what}: {type(error).__name__}: {error}") from error


class Link:
    """A connection for one purpose (design.md: publishing and consuming never share one).

    The plain connection is used, not aio-pika's robust one: what to send again and what to declare again after a
    reconnect is decided by the outbox and the subscription, in their own order.
    """

    def __init__(self, url: str, name: str, counts: BusCounts) -> None:
        self.url = url
        self.name = name
        self.counts = counts
        self._connection: AbstractConnection | None = None
        self._channels: WeakSet[AbstractChannel] = WeakSet()  # opened on it
        self._lock = asyncio.Lock()
        self._attempt = 0
        self._opened_s = time.monotonic()

    async def connect_once(self) -> AbstractConnection:
        """The open connection, or one attempt to open it. Raises BusDown."""
        async with self._lock:
            if self._connection is not None and not self._connection.is_closed:
                return self._connection
            try:
                self._connection = await asyncio.wait_for(
                    aio_pika.connect(self.url, client_properties={"connection_name": self.name}), CONNECT_S_MAX
                )
            except FAILURES as error:
                raise BusDown(f"{self.name}: cannot connect: {type(error).__name__}: {error}") from error
            self._opened_s = time.monotonic()
            self._channels = WeakSet()
            return self._connection

    async def channel(self, *, confirms: bool = False) -> AbstractChannel:
        """A fresh channel. Raises BusDown when the broker cannot be reached now."""
        connection = await self.connect_once()
        channels = self._channels
        try:
            channel = connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
            await asyncio.wait_for(channel.initialize(), CONNECT_S_MAX)
        except (Exception, asyncio.CancelledError) as error:
            if not is_broken(error):
                raise
            if channels is self._channels:
                await self.drop()
            raise BusDown(f"{self.name}: cannot open a channel: {type(error).__name__}: {error}") from error
        channels.add(channel)
        return channel

    async def drop_with(self, channel: AbstractChannel | None) -> None:
        """Close the connection that `channel` failed on. When the link's others have lost it first and opened the next
        one, that is left to them: each would else close what the one before has just opened."""
        if channel is not None and channel in self._channels:
            await self.drop()

    async def drop(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed:
            try:
                await asyncio.wait_for(connection.close(), 1.0)
            except (Exception, asyncio.CancelledError) as error:
                if not is_broken(error):
                    raise
                log.debug("%s: closing a broken connection", self.name)

    async def pause(self, error: BaseException) -> None:
        """Wait before the next attempt; the first of a row is logged with its reason. A connection that was opened and
        failed at once is of the row: a broker that starts takes connections before it has its queues."""
        if time.monotonic() - self._opened_s > STEADY_S:
            self._attempt = 0
            self._opened_s = float("inf")
        if self._attempt == 0:
            log.warning("%s: %s; trying again", self.name, error)
        self.counts.reconnects += 1
        delay = RETRY_S[min(self._attempt, len(RETRY_S) - 1)]
        self._attempt += 1
        await asyncio.sleep(delay)

    def progressed(self) -> None:
        """The broker did what was asked: a refusal that follows is not a connection that fails at once."""
        self._opened_s = float("-inf")

    close = drop
