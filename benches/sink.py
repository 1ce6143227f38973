"""A counting PARSED consumer: records by channel, repeats, jumps, and the latency from kernel receive to publish.

Runs as a process of its own (`python -m benches.sink BUS PREFIX OUT`), like a gateway would; writes one JSON object
to OUT every second and at its end.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from bisect import bisect_left
from pathlib import Path

import uvloop

from feeds.bus.amqp import AmqpBus
from feeds.bus.base import Delivery
from feeds.parser.latency import BOUNDS
from subscriptions.gateway.spans import Spans

RX = re.compile(rb'"rx":(\d+)')


class Sink:
    """Counts of one run."""

    def __init__(self) -> None:
        self.records = 0
        self.messages = 0
        self.bytes = 0
        self.spans = Spans()
        self.latency = [0] * (len(BOUNDS) + 1)

    def take(self, delivery: Delivery) -> None:
        """Count one PARSED message; every record's latency is read."""
        body = delivery.body
        placement = self.spans.place(delivery.headers)
        self.messages += 1
        self.bytes += len(body)
        self.records += body.count(b"\n") + 1 - placement.drop
        published = int(delivery.headers["t_pub"])
        for rx_ns in RX.findall(body):
            self.latency[bisect_left(BOUNDS, published - int(rx_ns))] += 1

    def as_json(self) -> str:
        return json.dumps(
            {
                "records": self.records,
                "messages": self.messages,
                "bytes": self.bytes,
                "lost": self.spans.lost,
                "repeated": self.spans.duplicates,
                "latency": self.latency,
            }
        )


def _write(out: Path, text: str) -> None:
    """In one step: the bench reads it at any time."""
    temporary = out.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(out)


async def consume(url: str, prefix: str, out: Path) -> None:
    """Count until SIGTERM."""
    bus = AmqpBus(url, prefix, 4)
    await bus.open()
    sink = Sink()
    subscription = bus.consume_parsed("sink")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def count() -> None:
        async for delivery in subscription:
            sink.take(delivery)
            subscription.ack(delivery)

    async def report() -> None:
        while True:
            await asyncio.sleep(1.0)
            await asyncio.to_thread(_write, out, sink.as_json())

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(count()), group.create_task(report())]
        await stop.wait()
        for task in tasks:
            task.cancel()
    await asyncio.to_thread(_write, out, sink.as_json())
    await bus.close()


if __name__ == "__main__":
    uvloop.run(consume(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
