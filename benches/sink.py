"""A counting PARSED consumer: records by channel, repeats, jumps, and the latency from kernel receive to publish.

Runs as a process of its own (`python -m benches.sink BUS PREFIX OUT WARM_UP_S`), like a gateway would; writes one JSON
object to OUT every second and at its end.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from bisect import bisect_left
from pathlib import Path

import uvloop

from feeds.bus.amqp import AmqpBus
from feeds.bus.base import Delivery
from feeds.parser.latency import quantile_ms
from subscriptions.gateway.spans import Spans

RX = b'"rx":'
NS = 1_000_000_000
NS_DIGITS = 19  # of a time in ns, until the year 2286
BOUNDS = tuple(int(50_000 * 1.05**step) for step in range(300))  # upper bounds in ns: 50 µs to 108 s, 5 % apart


class Sink:
    """Counts of one run."""

    def __init__(self, warm_up_s: int) -> None:
        self.warm_up_s = warm_up_s  # seconds of the clock from the first record on, told apart
        self.records = 0
        self.messages = 0
        self.bytes = 0
        self.spans = Spans()
        self.seconds: dict[int, list[int]] = {}  # the same by second of the publish; a run has few

    def take(self, delivery: Delivery) -> None:
        """Count one PARSED message; every record's latency is read."""
        body = delivery.body
        placement = self.spans.place(delivery.headers)
        self.messages += 1
        self.bytes += len(body)
        self.records += body.count(b"\n") + 1 - placement.drop
        published = int(delivery.headers["t_pub"])
        second = self.seconds.get(published // NS) or self.seconds.setdefault(published // NS, self._zeros())
        for part in body.split(RX)[1:]:
            second[bisect_left(BOUNDS, published - int(part[:NS_DIGITS]))] += 1

    def _zeros(self) -> list[int]:
        return [0] * (len(BOUNDS) + 1)

    def _sum(self, seconds: list[int]) -> list[int]:
        return [sum(column) for column in zip(*(self.seconds[s] for s in seconds), strict=True)] or self._zeros()

    def as_json(self) -> str:
        seconds = sorted(self.seconds)
        return json.dumps(
            {
                "records": self.records,
                "messages": self.messages,
                "bytes": self.bytes,
                "lost": self.spans.lost,
                "repeated": self.spans.duplicates,
                "warm_up": self._sum(seconds[: self.warm_up_s]),
                "latency": self._sum(seconds[self.warm_up_s :]),
                "seconds": {second: spread(counts) for second, counts in self.seconds.items()},
            }
        )


def spread(counts: list[int]) -> tuple[float | None, ...]:
    """p50, p99 and p99.9 in ms."""
    return tuple(quantile_ms(counts, share, BOUNDS) for share in (0.5, 0.99, 0.999))


def _write(out: Path, text: str) -> None:
    """In one step: the bench reads it at any time."""
    temporary = out.with_suffix(".new")
    temporary.write_text(text)
    temporary.replace(out)


async def consume(url: str, prefix: str, out: Path, *, warm_up_s: int) -> None:
    """Count until SIGTERM."""
    bus = AmqpBus(url, prefix, 4)
    await bus.open()
    sink = Sink(warm_up_s)
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
    uvloop.run(consume(sys.argv[1], sys.argv[2], Path(sys.argv[3]), warm_up_s=int(sys.argv[4])))
