"""A gateway in a process of its own that makes its own records: `… tests.client_faults.serving FOLDER PORT [HOST]`.

It obeys JSON lines on its standard input, each answered by one on its standard output, and ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mdds_site.settings")
django.setup()

from feeds.bus.base import Outgoing  # noqa: E402
from subscriptions.entitlements import Limits  # noqa: E402
from subscriptions.protocol import CHANNELS  # noqa: E402
from tests.gateway import cast  # noqa: E402
from tests.gateway import running as running_gateway  # noqa: E402
from tests.gateway.running import RunningGateway, running  # noqa: E402

LOOK_S = 0.005
ROOMY = Limits(symbols=5_000, ops_per_s=10, queue_bytes=1_048_576, sessions=10_000)
NARROW = Limits(symbols=50, ops_per_s=100, queue_bytes=131_072, sessions=10_000)


class Keys(running_gateway.KeyTable):
    """Beside the cast's: a key with room for many, and one with little. There before the gateway listens."""

    def __init__(self) -> None:
        super().__init__()
        self.grants["roomy"] = cast.grant(cast.rule(CHANNELS), limits=ROOMY, key_id="roomy001", subscriber_id=8)
        self.grants["narrow"] = cast.grant(cast.rule(CHANNELS), limits=NARROW, key_id="narrow01", subscriber_id=9)


class Serving:
    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.published: dict[str, int] = {}
        self.lag_ms_max = 0.0
        self._publishing: asyncio.Task[None] | None = None

    async def watch_the_loop(self) -> None:
        """How late a timer of the gateway's loop is at most."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(LOOK_S)
            self.lag_ms_max = max(self.lag_ms_max, (loop.time() - began - LOOK_S) * 1000)

    async def publish(self, streams: list[dict[str, Any]], interval_s: float) -> None:
        """At every interval the next records of each stream: `{"ch", "s", "count", "pad"}`."""
        outbox, first, due_s = self.gateway.bus.parsed_outbox(), 1, time.monotonic()
        while True:
            now_ns, lines = time.time_ns(), []
            for one in streams:
                for _ in range(one["count"]):
                    name = f"{one['ch']}:{one['s']}"
                    number = self.published[name] = self.published.get(name, 0) + 1
                    make = cast.trade if one["ch"] == "trade" else cast.depth
                    lines.append(make(one["s"], number, made=now_ns, pad="x" * one["pad"]))
            headers = {
                "feed": "HSX", "epoch": cast.EPOCH, "origin": "live", "partition": 0, "run": "1",
                "first": first, "last": first + len(lines) - 1, "t_rx": now_ns, "t_pub": now_ns,
            }  # fmt: skip
            first += len(lines)
            await outbox.put(Outgoing(0, b"\n".join(lines), headers))
            due_s += interval_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order.pop("do"):
            case "publish":
                self._publishing = asyncio.create_task(self.publish(**order))
            case "stop publishing":
                if self._publishing is not None:
                    self._publishing.cancel()
                    self._publishing = None
            case "stats":
                lag_ms, self.lag_ms_max = self.lag_ms_max, 0.0
                found = self.gateway.worker.stats()
                seats = [one.outbox for one in self.gateway.layer.seats.values()]
                return found | {
                    "published": self.published, "lag_ms_max": lag_ms, "discarded": self.gateway.layer.totals.discarded,
                    "queued_max": max((one.measure() for one in seats), default=0),
                }  # fmt: skip
        return {}


def main(folder: str, port: str, host: str = "127.0.0.1") -> None:
    running_gateway.KeyTable = Keys  # type: ignore[misc]
    with running(Path(folder), address=(host, int(port))) as gateway:
        serving = Serving(gateway)
        asyncio.run_coroutine_threadsafe(serving.watch_the_loop(), gateway._loop)
        print(json.dumps({"port": gateway.server.port}), flush=True)
        for line in sys.stdin:
            answer = asyncio.run_coroutine_threadsafe(serving.obey(json.loads(line)), gateway._loop).result(10)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
