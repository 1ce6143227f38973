"""One good client as a process, for a test that takes its network away: `… lone HOST PORT SYMBOL`; says `up`."""

from __future__ import annotations

import asyncio
import sys

from tests.client_faults.light import LightClient, run


async def follow(host: str, port: int, symbol: str) -> None:
    client = await LightClient.connect(port, lambda text: None, host=host)
    client.send(op="sub", id=1, ch="trade", symbols=[symbol])
    print("up", flush=True)
    await client.ended


if __name__ == "__main__":
    run(asyncio.wait_for(follow(sys.argv[1], int(sys.argv[2]), sys.argv[3]), 90))
