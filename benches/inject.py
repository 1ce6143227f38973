"""Publishes records at a rate: to PARSED through the real bus, or the same bytes to NATS. A process of its own.

It prints `warm` after one record of every symbol, waits for a line on its input, publishes, and prints what it sent.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from feeds.bus.base import Outgoing
from feeds.bus.factory import open_bus

MESSAGE_S = 0.002  # between two PARSED messages: what a parser under load makes
RECORDS_MAX = 1_000  # of one message; behind its schedule the injector sends such ones
EPOCH = "20261120-1"

# A record of the trade channel as the parsers write it, `rx` being the moment of publishing.
TRADE = (
    '{"ch":"trade","s":"%s","n":%%d,"ep":"' + EPOCH + '","rx":%%d,"q":%%d,"m":"STO","bd":"G1","mt":"X",'
    '"ts":"2026-11-20T02:15:31.732Z","ses":"40","tx":"021531732","p":98500,"v":1200,"vol":4123400,"val":406154900000}'
)

Send = Callable[[list[tuple[str, bytes]]], Awaitable[None]]


class Records:
    """Numbered records of many symbols, each symbol as likely as another."""

    def __init__(self, symbols: list[str], *, seed: int = 1) -> None:
        self.symbols = symbols
        self.numbers = [0] * len(symbols)
        self.total = 0
        self._templates = [(TRADE % symbol).encode() for symbol in symbols]
        self._random = random.Random(seed)

    def of(self, indexes: list[int]) -> list[tuple[str, bytes]]:
        now_ns = time.time_ns()
        made = []
        for index in indexes:
            self.total += 1
            self.numbers[index] += 1
            line = self._templates[index] % (self.numbers[index], now_ns, self.total)
            made.append((self.symbols[index], line))
        return made

    def any(self, count: int) -> list[tuple[str, bytes]]:
        return self.of(self._random.choices(range(len(self.symbols)), k=count))


async def publish(records: Records, send: Send, *, rate: int, seconds: float) -> dict[str, Any]:
    """At the rate; a late round sends more. What was sent, by symbol, and how long it took."""
    began = time.monotonic()
    due = int(rate * seconds)
    sent = rounds = 0
    while sent < due:
        wait_s = began + rounds * MESSAGE_S - time.monotonic()
        await asyncio.sleep(max(0.0, wait_s))
        rounds += 1
        now_due = min(due, int(rate * (time.monotonic() - began)) + 1)
        while sent < now_due:
            count = min(RECORDS_MAX, now_due - sent)
            await send(records.any(count))
            sent += count
    return {"sent": sent, "seconds": time.monotonic() - began}


async def to_bus(spec: dict[str, Any], records: Records) -> None:
    bus = open_bus(spec["url"], prefix=spec["prefix"], data_dir=Path(spec["folder"]), partitions=1)
    await bus.open()
    outbox = bus.parsed_outbox()
    first = 1

    async def send(made: list[tuple[str, bytes]]) -> None:
        nonlocal first
        last, now_ns = first + len(made) - 1, time.time_ns()
        headers = {
            "feed": "STO", "epoch": 2026112001, "origin": "live", "partition": 0, "run": 1,
            "first": first, "last": last, "t_rx": now_ns, "t_pub": now_ns,
        }  # fmt: skip
        first = last + 1
        await outbox.put(Outgoing(0, b"\n".join([line for _, line in made]), headers))

    try:
        await _run(spec, records, send)
        await outbox.drained()
    finally:
        await bus.close()


async def to_nats(spec: dict[str, Any], records: Records) -> None:
    with socket.create_connection(("127.0.0.1", spec["port"])) as sock:
        sock.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
        sock.setblocking(False)
        loop = asyncio.get_running_loop()

        async def send(made: list[tuple[str, bytes]]) -> None:
            parts = [b"PUB md.%b %d\r\n%b\r\n" % (symbol.encode(), len(line), line) for symbol, line in made]
            await loop.sock_sendall(sock, b"".join(parts))

        await _run(spec, records, send)


async def _run(spec: dict[str, Any], records: Records, send: Send) -> None:
    await send(records.of(list(range(len(records.symbols)))))
    print("warm", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    warm = list(records.numbers)
    result = await publish(records, send, rate=spec["rate"], seconds=spec["seconds"])
    result["by_symbol"] = {
        symbol: number - before for symbol, number, before in zip(records.symbols, records.numbers, warm, strict=True)
    }
    print(json.dumps(result), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


def main() -> None:
    spec = json.loads(sys.argv[1])
    records = Records(spec["symbols"])
    uvloop.run(to_nats(spec, records) if spec["to"] == "nats" else to_bus(spec, records))


if __name__ == "__main__":
    main()
