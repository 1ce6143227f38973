"""`mdds bench`: opens many clients and measures rates and latency of what they receive."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from mdds_client.cli.arguments import DEFAULT_CHANNELS
from mdds_client.cli.exit_codes import DONE, FAILED
from mdds_client.cli.tables import print_table
from mdds_client.client import AsyncClient
from mdds_client.clock import Clock
from mdds_client.continuity import Gap
from mdds_client.errors import MddsError
from mdds_client.subscription import Subscription

OPENING_MAX = 50  # connections that are opened at a time
SAMPLES_MAX = 20_000  # of each client; past it every second one is kept and half as many are taken


@dataclass(slots=True)
class Samples:
    """Latencies in ns, thinned evenly so that their number stays bounded."""

    values: list[int] = field(default_factory=list)
    every: int = 1
    seen: int = 0

    def take(self, value: int) -> None:
        self.seen += 1
        if self.seen % self.every == 0:
            self.values.append(value)
            if len(self.values) >= SAMPLES_MAX:
                self.values = self.values[::2]
                self.every *= 2


@dataclass(slots=True)
class Counts:
    """What one client saw."""

    connect_s: float = 0.0
    records: int = 0
    missing: int = 0
    reconnects: int = 0
    samples: Samples = field(default_factory=Samples)

    def on_gap(self, gap: Gap) -> None:
        self.missing += gap.count or 1


async def run_bench(arguments: argparse.Namespace) -> int:
    counts = [Counts() for _ in range(arguments.clients)]
    clients = [
        AsyncClient(arguments.url, arguments.key, on_gap=one.on_gap, encoding=arguments.encoding) for one in counts
    ]
    try:
        subscriptions = await _open(clients, counts, arguments=arguments)
        clock = Clock()
        for _ in range(5):
            clock.take(await clients[0].server_clock())
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            readers = [
                group.create_task(_read(subscription, one, offset_ns=int((clock.offset_s or 0) * 1e9)))
                for subscription, one in zip(subscriptions, counts, strict=True)
            ]
            await asyncio.sleep(arguments.seconds)
            for reader in readers:
                reader.cancel()
        seconds = time.monotonic() - begun
        for client, one in zip(clients, counts, strict=True):
            one.reconnects = client.reconnects
    finally:
        for client in clients:
            await client.close()
    report = _report(counts, seconds, clock)
    if arguments.json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        print_table(("", ""), report.items())
    return DONE if report["records"] else FAILED


async def _open(
    clients: Sequence[AsyncClient], counts: Sequence[Counts], *, arguments: argparse.Namespace
) -> list[Subscription]:
    """Connect and subscribe all, some at a time; the first that cannot raises why."""
    turn = asyncio.Semaphore(OPENING_MAX)

    async def open_one(client: AsyncClient, one: Counts) -> Subscription:
        async with turn:
            begun = time.monotonic()
            await client.connect()
            one.connect_s = time.monotonic() - begun
            return await client.subscribe(arguments.channels or DEFAULT_CHANNELS, arguments.symbols, snapshot=False)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(open_one(*pair)) for pair in zip(clients, counts, strict=True)]
    except* MddsError as errors:
        raise _first(errors) from None
    return [task.result() for task in tasks]


async def _read(subscription: Subscription, counts: Counts, *, offset_ns: int) -> None:
    while records := await subscription.batch():
        now_ns = time.time_ns() + offset_ns
        counts.records += len(records)
        for record in records:
            received_ns = record.received_ns
            if received_ns is not None:
                counts.samples.take(now_ns - received_ns)


def _report(counts: Sequence[Counts], seconds: float, clock: Clock) -> dict[str, object]:
    records = sum(one.records for one in counts)
    latencies = sorted(value for one in counts for value in one.samples.values)
    report: dict[str, object] = {
        "clients": len(counts),
        "seconds": round(seconds, 2),
        "connect_ms_p50": _ms(sorted(int(one.connect_s * 1e9) for one in counts), 0.5),
        "connect_ms_max": _ms(sorted(int(one.connect_s * 1e9) for one in counts), 1.0),
        "round_trip_ms": round(clock.round_trip_s * 1000, 2),
        "records": records,
        "records_per_s": round(records / seconds),
        "records_per_client_min": min(one.records for one in counts),
        "records_per_client_max": max(one.records for one in counts),
    }
    if latencies:
        # From the datagram's arrival at the server to this program, by the server's clock.
        report |= {f"latency_ms_{name}": _ms(latencies, share) for name, share in _SHARES.items()}
    missing, reconnects = sum(one.missing for one in counts), sum(one.reconnects for one in counts)
    return {**report, "missing": missing, "reconnects": reconnects}


_SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def _ms(ordered: Sequence[int], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6, 3)


def _first(group: BaseExceptionGroup[MddsError]) -> MddsError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MddsError)
    return error
