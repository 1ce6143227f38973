"""Reads the PARSED stream from its beginning, across every death of the broker, into the ledger."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import aio_pika

from benches.soak.ledger import Ledger
from feeds.bus.amqp.topology import Topology
from subscriptions.gateway.spans import Spans

PREFETCH = 200
AGAIN_S = 0.3
EARLY_MAX = 1_000_000  # records the reference may be behind (about 250 MiB); past it the stream waits: it keeps 2 GiB
CONNECT_S_MAX = 5.0


class ParsedReader(threading.Thread):
    """A thread with a loop of its own. The stream's offsets say where to go on after a reconnect."""

    def __init__(self, url: str, topology: Topology, *, ledger: Ledger, lock: threading.Lock) -> None:
        super().__init__(name="parsed", daemon=True)
        self.url, self.topology = url, topology
        self.ledger, self.lock = ledger, lock
        self.spans = Spans()
        self.records = 0
        self.reconnects = 0
        self.waited = False  # the checker was slower than the system
        self.failure: BaseException | None = None
        self._next_offset = 0
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            asyncio.run(self._follow())
        except BaseException as error:
            self.failure = error

    def stop(self) -> None:
        self._stopping.set()
        self.join(20)

    async def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                connection = await asyncio.wait_for(aio_pika.connect(self.url), CONNECT_S_MAX)
            except (TimeoutError, aio_pika.exceptions.AMQPError, OSError):
                await asyncio.sleep(AGAIN_S)
                continue
            try:
                await self._read(connection)
            except (TimeoutError, aio_pika.exceptions.AMQPError, OSError, RuntimeError):
                self.reconnects += 1
                await asyncio.sleep(AGAIN_S)
            finally:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(connection.close(), 1.0)

    async def _read(self, connection: aio_pika.abc.AbstractConnection) -> None:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        await self.topology.declare_parsed(channel)
        queue = await channel.declare_queue(self.topology.stream, passive=True)
        closed = asyncio.Event()
        connection.close_callbacks.add(lambda *_: closed.set())
        channel.close_callbacks.add(lambda *_: closed.set())

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            self._take(message)
            while len(self.ledger.early) > EARLY_MAX and not self._stopping.is_set():
                self.waited = True
                await asyncio.sleep(AGAIN_S)  # unacknowledged, so no more comes: the stream keeps it
            await message.ack()

        await queue.consume(take, arguments={"x-stream-offset": self._next_offset})
        while not self._stopping.is_set() and not closed.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(closed.wait(), 0.2)
        if closed.is_set():
            raise ConnectionError("the broker went away")

    def _take(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        offset = int(str(message.headers["x-stream-offset"]))
        if offset < self._next_offset:
            return  # a chunk begins before the offset that was asked for
        self._next_offset = offset + 1
        if "mark" in message.headers:
            return
        placement = self.spans.place(message.headers)
        texts = message.body.decode().split("\n")[placement.drop :]
        self.records += len(texts)
        with self.lock:
            for text in texts:
                self.ledger.arrive(text)
