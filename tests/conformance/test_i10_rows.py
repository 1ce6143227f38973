"""I10 with real rows: a product and an entitlement flip at random in the database while a gateway process streams; an
oracle over their history finds no record without its right, in streams, snapshots and resumes of every market channel.

Redis is away: only the rows tell the gateway.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from feeds.bus.base import Outgoing
from subscriptions.entitlements import Grant
from tests.conformance.server import Client, Server
from tests.gateway import cast
from tests.rights.oracle import History, Received, leaks

pytestmark = pytest.mark.services
SEED = 20261121
RUN_S = 13.6
SYMBOLS = ("FLA", "FLB")
CHANNELS = ("trade", "depth", "book", "quote", "bar")
HELD_S = 1.2  # of each level at the end: every way of noticing has brought it by then
# Changes rows until told to stop; prints when each change began, when it was committed, and what then holds.
FLIP = """
import json, random, time
from subscriptions.models import Entitlement, Product
draw = random.Random({seed})
product = Product.objects.get(code="flips")

def put(channels, level, late, symbols):
    product.channels, product.level = channels, level
    product.timeliness, product.delay_s = ("delayed", 1) if late else ("realtime", 0)
    for change in (product.save, lambda: Entitlement.objects.get(product=product).symbols == symbols or flip(symbols)):
        began = time.time_ns()
        change()
        held = dict(channels=product.channels, level=product.level, timeliness=product.timeliness,
                    delay_s=product.delay_s, symbols=Entitlement.objects.get(product=product).symbols)
        print("change", json.dumps([began, time.time_ns(), held]))

until = time.time() + {seconds} - 3 * {held_s}
while time.time() < until:
    channels = [name for name in {channels} if draw.random() < 0.6]
    put(channels, draw.choice([1, 3, 10]), draw.random() < 0.3, draw.choice([None, None, ["FLA"], ["FLB"]]))
    time.sleep(draw.uniform(0.05, 0.3))
for level in (1, 3, 10):
    put(list({channels}), level, False, None)
    time.sleep({held_s})
"""
FLIPS = """
def flip(symbols):
    row = Entitlement.objects.get(product__code="flips")
    row.symbols = symbols
    row.save()
"""


@dataclass(slots=True)
class RowHistory(History):
    """A grant may hold from when its change began until the next one is committed."""

    committed_ns: list[int] = field(default_factory=list)

    def within(self, since_ns: int, until_ns: int) -> list[Grant | None]:
        ends_ns = [*self.committed_ns[1:], 2**63]
        spans = zip(self.times_ns, ends_ns, self.grants, strict=True)
        return [grant for began_ns, end_ns, grant in spans if began_ns <= until_ns and end_ns >= since_ns]


class Taker:
    """A client that asks for everything again and again, resumes where it can, and keeps what it gets."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.draw = random.Random(SEED)
        self.received: list[Received] = []
        self.asked = {"snapshot": 0, "resume": 0, "*": 0}
        self.refused: set[str] = set()

    def run(self, until: float) -> None:
        while time.monotonic() < until:
            try:
                with self.server.connect("flips") as socket:
                    self._session(Client(socket), until)
            except ConnectionClosed:
                time.sleep(0.05)

    def _session(self, client: Client, until: float) -> None:
        ends, asked_s = min(until, time.monotonic() + 3.0), 0.0  # then a new one, which resumes
        while time.monotonic() < ends:
            if time.monotonic() >= asked_s:
                asked_s = time.monotonic() + 0.15
                for channel in CHANNELS:
                    self._subscribe(client, channel)
            try:
                frame = json.loads(client.socket.recv(timeout=0.05))
            except TimeoutError:
                continue
            if isinstance(frame, list):
                self._take(frame)
            elif frame["t"] == "sub":
                self.refused |= {one["code"] for one in frame["errors"]}

    def _subscribe(self, client: Client, channel: str) -> None:
        resume = {}
        for symbol in SYMBOLS:
            last = [one.number for one in self.received if (one.channel, one.symbol) == (channel, symbol)]
            if last and self.draw.random() < 0.6:
                resume[symbol] = [cast.EPOCH, max(0, max(last) - 10)]
        symbols = ["FL*"] if self.draw.random() < 0.2 and not resume else list(SYMBOLS)
        self.asked["resume" if resume else "*" if symbols == ["FL*"] else "snapshot"] += 1
        message: dict[str, Any] = {"op": "sub", "id": 1, "ch": channel, "symbols": symbols}
        client.socket.send(json.dumps(message | ({"resume": resume} if resume else {})))

    def _take(self, frame: list[dict[str, Any]]) -> None:
        now_ns = time.time_ns()
        for one in frame:
            levels = max((sum(1 for level in one[side] if level[1]) for side in ("b", "a") if side in one), default=1)
            levels = levels if one["ch"] in ("depth", "book") else 1
            self.received.append(Received(now_ns, one["rx"], one["ch"], one["s"], one["n"], levels))


async def stream(server: Server, until: float) -> None:
    """Trades and ten levels of depth of both symbols, received when they are made."""
    bus = server.open_bus()
    await bus.open()
    outbox, number = bus.parsed_outbox(), 0
    while time.monotonic() < until:
        number += 1
        now_ns = time.time_ns()
        ts = b'"ts":"2026-11-20T02:%02d:00.000Z"' % (number // 100 % 60)
        lines = [cast.trade(name, number).replace(b'"ts":null', ts) for name in SYMBOLS]
        lines += [cast.depth(name, number, pad=number) for name in SYMBOLS]
        body = [line.replace(b'"rx":1,', b'"rx":%d,' % now_ns) for line in lines]
        await outbox.put(Outgoing(0, b"\n".join(body), server.headers(len(body))))
        await asyncio.sleep(0.02)
    await asyncio.wait_for(outbox.drained(), 10)
    await bus.close()


def history_of(printed: str) -> RowHistory:
    history = RowHistory()
    for line in printed.splitlines():
        if line.startswith("change "):
            began_ns, committed_ns, held = json.loads(line.removeprefix("change "))
            symbols = held.pop("symbols")
            rule = cast.rule(held.pop("channels"), symbols=None if symbols is None else frozenset(symbols), **held)
            history.change(began_ns, cast.grant(rule))
            history.committed_ns.append(committed_ns)
    return history


def test_no_record_comes_a_second_after_its_right_ended(server: Server) -> None:
    until = time.monotonic() + RUN_S + 5.0
    taker, printed = Taker(server), ""
    script = FLIPS + FLIP.format(seed=SEED, seconds=RUN_S, held_s=HELD_S, channels=CHANNELS)
    jobs = [
        threading.Thread(target=lambda: asyncio.run(stream(server, until))),
        threading.Thread(target=taker.run, args=(until,)),
    ]
    for job in jobs:
        job.start()
    printed = server.system.manage("shell", "-v0", "-c", script)
    for job in jobs:
        job.join(30)
        assert not job.is_alive(), "a thread of the test hangs"
    history = history_of(printed)
    since_ns = history.times_ns[0] + 2_000_000_000  # what held before the first change nobody wrote down
    received = [one for one in taker.received if one.at_ns > since_ns]
    assert leaks(history, received)[:3] == [], f"seed {SEED}"
    late = [one for one in received if one.at_ns - one.made_ns >= 1_000_000_000]
    print(f"seed {SEED}: {len(history.grants)} changes, {len(received)} records, {len(late)} late, {taker.asked}")
    assert len(history.grants) > 30
    assert {one.channel for one in received} == set(CHANNELS)
    assert {one.levels for one in received if one.channel == "depth"} >= {1, 3, 10}
    assert late
    assert all(taker.asked.values())
    assert "NOT_ENTITLED" in taker.refused
    assert leaks(RowHistory([0], [cast.grant()], [0]), received) == received, "the oracle can say no"
