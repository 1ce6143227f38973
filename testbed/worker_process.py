"""Runs one worker of the data path as a process without a database: `python -m testbed.worker_process SPEC`.

It starts in a third of the time of its management command, which matters where a test starts a dozen. The workers are
the product's own; `broken` names a rule that this process shall break (`testbed.broken_rules`), for tests of the tests.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvloop

from feeds.bus.amqp import AmqpBus
from feeds.capture.colocated import ColocatedParser
from feeds.capture.publisher import FeedPublisher, PublisherWorker
from feeds.capture.worker import CaptureWorker
from feeds.config import FeedConfig, LineConfig
from feeds.parser.worker import ParserWorker
from testbed.broken_rules import break_rule

STATS_S = 0.1


FEED_FIELDS = (
    "id", "name", "exchange", "markets", "partitions", "gap_wait_ns_max", "gap_messages_max", "receive_buffer_bytes",
)  # fmt: skip


def feed_as_json(feed: FeedConfig) -> dict[str, Any]:
    """JSON values of what these processes need of a feed; `feed_of` makes one of them again, the rest its defaults."""
    return {name: getattr(feed, name) for name in FEED_FIELDS} | {"lines": [asdict(line) for line in feed.lines]}


def feed_of(value: dict[str, Any]) -> FeedConfig:
    lines = tuple(LineConfig(**line) for line in value["lines"])
    return FeedConfig(**{**value, "lines": lines, "markets": tuple(value["markets"])})


class Colocated:
    """A publisher and its parsers in one process."""

    def __init__(self, publisher: PublisherWorker, partitions: int) -> None:
        self.publisher = publisher
        self.parser = ColocatedParser(publisher.bus, range(partitions), {}, save=None)
        for one in publisher.publishers:
            self.parser.join(one)

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.publisher.run(stop))
            group.create_task(self.parser.run(stop))

    def stats(self) -> dict[str, object]:
        """Of both; where a name is in both, the publisher's."""
        return {**self.parser.stats(), **self.publisher.stats()}


AnyWorker = CaptureWorker | PublisherWorker | ParserWorker | Colocated


def worker_of(spec: dict[str, Any]) -> AnyWorker:
    """The worker that `spec` asks for."""
    feed, data_dir = feed_of(spec["feed"]), Path(spec["data_dir"])
    if spec["kind"] == "capture":
        return CaptureWorker([feed], data_dir=data_dir, prefix=spec["prefix"], name=spec["name"])
    bus = AmqpBus(spec["bus"], spec["prefix"], feed.partitions)
    if spec["kind"] == "publisher":
        publisher = FeedPublisher(feed, bus, data_dir=data_dir, prefix=spec["prefix"])
        worker = PublisherWorker(bus, [publisher], spec["name"])
        return Colocated(worker, feed.partitions) if spec["colocated"] else worker
    return ParserWorker(bus, range(feed.partitions), {}, save=None, name=spec["name"])


async def run(worker: AnyWorker, stats: Path) -> None:
    """Until SIGTERM; the figures go to `stats` ten times a second and at the end."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    working = asyncio.create_task(worker.run(stop))
    while not working.done():
        _write(stats, worker)
        await asyncio.wait({working}, timeout=STATS_S)
    _write(stats, worker)
    await working


def _write(path: Path, worker: AnyWorker) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"pid": os.getpid(), "at_ns": time.time_ns(), **worker.stats()}, default=str))
    draft.replace(path)


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text())
    break_rule(spec.get("broken", ""))
    gc.freeze()
    uvloop.run(run(worker_of(spec), Path(spec["stats"])))


if __name__ == "__main__":
    main()
