"""Reconnect with resume: not one trade missing, none twice, over a cut, a gateway restart, and at another gateway."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from feeds.bus.base import Bus, Outgoing
from feeds.bus.factory import open_bus
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.system import ROOT, die_with_parent, make_tables
from tests.client_faults.light import LightClient, run
from tests.gateway import cast
from tests.gateway.test_run_gateway import manage

pytestmark = [pytest.mark.services, pytest.mark.slow]

CLIENTS = 200
SYMBOLS = [f"S{number:02d}" for number in range(40)]
FOLLOWED = 2  # of the symbols by each client
RATE = int(os.environ.get("RESUME_RATE", "5000"))  # messages a second, of all symbols
BATCHES_PER_S = 50
CUT_S = 5.0
FLOWS_S = 1.5
BACK_S_MAX = 40.0
# What the story waits by its own clock, at the rate asked for. It lasts longer: a machine that is late carries it too.
CARRIED_MIN = int(RATE * (2 * FLOWS_S + 3 * CUT_S - 2))
_TRADE = re.compile(rb'"s":"(S[0-9]{2})","n":([0-9]+)')


class Publisher:
    """Trades of every symbol in turn, through the real bus; it catches up when it was late."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.sent = 0
        self.since_s = 0.0

    def last(self, symbol: str) -> int:
        return len(range(SYMBOLS.index(symbol), self.sent, len(SYMBOLS)))

    @property
    def rate(self) -> float:
        return self.sent / (time.monotonic() - self.since_s)

    async def run(self, stop: asyncio.Event) -> None:
        bus = open_bus(
            self.environ["MDDS_BUS"], prefix=f"mdds{self.environ['MDDS_PORT']}",
            data_dir=Path(self.environ["MDDS_DATA"]), partitions=4,
        )  # fmt: skip
        await bus.open()
        try:
            await self._publish(bus, stop)
        finally:
            await bus.close()

    async def _publish(self, bus: Bus, stop: asyncio.Event) -> None:
        outbox, due_s = bus.parsed_outbox(), time.monotonic()
        self.since_s = due_s
        while not stop.is_set():
            now_ns, first = time.time_ns(), self.sent + 1
            numbers = range(self.sent, self.sent + RATE // BATCHES_PER_S)
            lines = [cast.trade(SYMBOLS[at % len(SYMBOLS)], at // len(SYMBOLS) + 1) for at in numbers]
            headers = {
                "feed": "STO", "epoch": 2026112001, "origin": "live", "partition": 0, "run": 1,
                "first": first, "last": first + len(lines) - 1, "t_rx": now_ns, "t_pub": now_ns,
            }  # fmt: skip
            await outbox.put(Outgoing(0, b"\n".join(lines), headers))
            self.sent += len(lines)
            due_s += 1 / BATCHES_PER_S
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        await asyncio.wait_for(outbox.drained(), 10)


class Follower:
    """Keeps (epoch, n) of each stream and resumes by protocol; every record is the next one of its stream."""

    def __init__(self, key: str, symbols: list[str]) -> None:
        self.key, self.symbols = key, symbols
        self.last: dict[str, int] = {}
        self.faults: list[str] = []
        self.resumed = self.received = 0
        self.client: LightClient | None = None

    async def connect(self, port: int) -> None:
        """Until it is subscribed: a gateway that is away, starting, or not there yet is asked again."""
        while True:
            try:
                client = await LightClient.connect(port, self._on_text, key=self.key)
            except OSError:
                await asyncio.sleep(0.2)
                continue
            if client.ended.done():
                await asyncio.sleep(0.2)
                continue
            self.client = client
            self._subscribe(client)
            return

    def _subscribe(self, client: LightClient) -> None:
        if client is self.client:
            points = {symbol: [cast.EPOCH, number] for symbol, number in self.last.items()}
            client.send(op="sub", id=1, ch="trade", symbols=self.symbols, **({"resume": points} if points else {}))

    def cut(self) -> None:
        assert self.client is not None
        self.client.abort()

    def _on_text(self, text: bytes) -> None:
        if text[:1] == b"{":
            return self._on_control(json.loads(text))
        for name, number in _TRADE.findall(text):
            symbol, n = name.decode(), int(number)
            if n != self.last.get(symbol, n - 1) + 1:
                self.faults.append(f"{symbol}: {n} after {self.last[symbol]}")
            self.last[symbol] = n
            self.received += 1

    def _on_control(self, frame: dict[str, Any]) -> None:
        if frame["t"] == "error" and frame["code"] == "FEED_DOWN" and self.client is not None:
            # A gateway that has not fetched the last seconds yet says when to ask again: the protocol's way.
            asyncio.get_running_loop().call_later(frame["retry_after_ms"] / 1000, self._subscribe, self.client)
        elif frame["t"] == "resumed":
            self.resumed += 1
            if frame["from"] != self.last[frame["s"]] + 1:
                self.faults.append(str(frame))
        elif frame["t"] in ("gap", "notice", "error") or (frame["t"] == "sub" and frame["errors"]):
            self.faults.append(str(frame))


class Gateways:
    """Gateway processes of one system, by their number."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.environ = environ
        self.base = int(environ["MDDS_PORT"])
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def port(self, index: int) -> int:
        return self.base + 1 + index * 8

    def start(self, index: int) -> None:
        with (Path(self.environ["MDDS_DATA"]) / f"gateway-{index}.log").open("ab") as log:
            self.running[index] = subprocess.Popen(
                [sys.executable, "manage.py", "run_gateway", "--index", str(index), "--port", str(self.port(index))],
                cwd=ROOT, env=self.environ, stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip

    def kill(self, index: int) -> None:
        process = self.running.pop(index)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for index in list(self.running):
            self.kill(index)


async def until(true: Any, what: str, *, wait_s: float = BACK_S_MAX) -> None:
    deadline = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < deadline, f"waited {wait_s} s in vain: {what()}"
        await asyncio.sleep(0.1)


async def back(followers: list[Follower], port: int, publisher: Publisher, draw: random.Random) -> float:
    """Everybody is at this port and has all that was published by now; how long that took."""
    began, before = time.monotonic(), {id(one): one.resumed for one in followers}

    async def come(one: Follower) -> None:
        await asyncio.sleep(draw.uniform(0.0, 1.0))
        await asyncio.wait_for(one.connect(port), BACK_S_MAX)

    await asyncio.gather(*(come(one) for one in followers))
    goal = {symbol: publisher.last(symbol) for symbol in SYMBOLS}

    def behind() -> list[Follower]:
        return [
            one for one in followers
            if one.resumed < before[id(one)] + FOLLOWED or any(one.last[name] < goal[name] for name in one.symbols)
        ]  # fmt: skip

    await until(lambda: not behind(), lambda: [(one.last, one.faults[:2]) for one in behind()[:3]])
    assert [one.faults[:2] for one in followers if one.faults] == []
    return time.monotonic() - began


async def story(gateways: Gateways, key: str, seed: int) -> None:
    draw, stop, publisher = random.Random(seed), asyncio.Event(), Publisher(gateways.environ)
    publishing = asyncio.create_task(publisher.run(stop))
    followers = [Follower(key, draw.sample(SYMBOLS, FOLLOWED)) for _ in range(CLIENTS)]
    first, other = gateways.port(0), gateways.port(1)
    probe = Follower(key, SYMBOLS)
    await asyncio.wait_for(probe.connect(first), BACK_S_MAX)
    await until(lambda: publisher.sent > RATE // 2, lambda: "records flow")
    probe.cut()
    await asyncio.gather(*(one.connect(first) for one in followers))
    await until(
        lambda: all(len(one.last) == FOLLOWED for one in followers),
        lambda: [(one.last, one.faults[:2]) for one in followers if len(one.last) < FOLLOWED][:3],
    )
    starts = [dict(one.last) for one in followers]
    counted = [one.received for one in followers]
    took_s: dict[str, float] = {}
    await asyncio.sleep(FLOWS_S)
    for one in followers:
        one.cut()
    await asyncio.sleep(CUT_S)
    took_s["cut"] = await back(followers, first, publisher, draw)
    await asyncio.sleep(FLOWS_S)
    gateways.kill(0)
    await asyncio.sleep(CUT_S - 2)
    gateways.start(0)
    took_s["restart"] = await back(followers, first, publisher, draw)
    gateways.start(1)
    await asyncio.wait_for(Follower(key, SYMBOLS[:1]).connect(other), BACK_S_MAX)
    for one in followers:
        one.cut()
    await asyncio.sleep(CUT_S)
    took_s["another"] = await back(followers, other, publisher, draw)
    rate = publisher.rate
    stop.set()
    await publishing
    await until(
        lambda: all(one.last[name] == publisher.last(name) for one in followers for name in one.symbols),
        lambda: "the last trade",
    )
    assert [one.faults[:2] for one in followers if one.faults] == []
    for one, start, count in zip(followers, starts, counted, strict=True):
        assert one.received - count == sum(publisher.last(name) - start[name] for name in one.symbols)
        assert one.resumed == 3 * FOLLOWED
    assert publisher.sent == sum(publisher.last(name) for name in SYMBOLS) >= CARRIED_MIN
    carried = sum(one.received - count for one, count in zip(followers, counted, strict=True))
    assert carried == sum(publisher.last(name) - start[name] for start in starts for name in start)
    # Each symbol is an equal part of the load, each client follows two: what came was that part of what was sent.
    assert carried >= CLIENTS * FOLLOWED * (CARRIED_MIN // len(SYMBOLS))
    words = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took_s.items())
    print(f"seed {seed}: {CLIENTS} clients at {rate:.0f} msg/s (asked for {RATE}), "
          f"{publisher.sent} sent, {carried} carried, each once; back after {words}")  # fmt: skip


def test_not_one_trade_is_missing_and_none_comes_twice(
    rabbitmq: PrivateRabbitMQ, base_port: int, tmp_path: Path, seed: int
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MDDS_")}
    environ = kept | {"MDDS_DATA": str(tmp_path), "MDDS_PORT": str(base_port), "MDDS_BUS": rabbitmq.url}
    make_tables(environ)
    key = manage(environ, "setup_demo").stdout.split("key: ")[1].split()[0]
    gateways = Gateways(environ)
    try:
        gateways.start(0)
        run(story(gateways, key, seed))
    finally:
        gateways.close()
