"""A process of toy workers for test_worker: `worker_process.py METRICS_PORT KIND...`."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "mdds_site.settings"
django.setup()

from feeds.worker import run_workers  # noqa: E402


class Toy:
    """`good` drains and ends, `fails` raises, `stubborn` ignores the stop, `deaf` ignores its cancellation too."""

    def __init__(self, kind: str) -> None:
        self.kind, self.name = kind, f"{kind}-1"
        self.turns = 0

    def stats(self) -> dict[str, object]:
        if self.kind == "bad-stats":
            raise RuntimeError("no numbers")
        return {"turns": self.turns}

    async def run(self, stop: asyncio.Event) -> None:
        print(f"{self.kind} started", flush=True)
        if self.kind == "fails":
            raise RuntimeError("the disk is gone")
        if self.kind == "brief":
            return
        if self.kind == "thread":
            await asyncio.to_thread(time.sleep, 60)
        try:
            while self.kind == "stubborn" or not stop.is_set():
                self.turns += 1
                await asyncio.sleep(0.05)
        finally:
            print(f"{self.kind} ended", flush=True)


port = int(sys.argv[1])
run_workers([Toy(kind) for kind in sys.argv[2:]], metrics_port=port or None)
print("all ended", flush=True)
