"""A process of a few SDK clients: the age of every record when it is in the caller's hands."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any

from mdds_client import AsyncClient


async def follow(spec: dict[str, Any], symbols: list[str], *, ages_us: Counter[int], ready: asyncio.Semaphore) -> None:
    async with AsyncClient(spec["url"], spec["key"]) as client:
        subscription = await client.subscribe(spec["channel"], symbols, snapshot=False)
        ready.release()
        async for record in subscription:
            if record.received_ns is not None:
                ages_us[(time.time_ns() - record.received_ns) // 100_000 * 100] += 1


async def run(spec: dict[str, Any]) -> None:
    ages_us: Counter[int] = Counter()
    ready = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(follow(spec, symbols, ages_us=ages_us, ready=ready)) for symbols in spec["symbols"]]
        for _ in tasks:
            await ready.acquire()
        print("ready", flush=True)
        while (await asyncio.to_thread(sys.stdin.readline)).strip() == "clear":
            ages_us.clear()
        for task in tasks:
            task.cancel()
    print(json.dumps(ages_us), flush=True)


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.argv[1])))
