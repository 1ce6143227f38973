"""F30: a poison message harms itself only; fixed, it is put in again once, as a new record."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest

from feeds.bus.amqp import AmqpBus
from feeds.bus.base import Outgoing
from feeds.dead_letters.choice import letters_of
from feeds.dead_letters.reinjection import prepare
from testbed.evidence import drained, gather, violations
from testbed.live_path import LivePath
from tests.faults.conftest import Started
from tests.feeds.wire import framed, message, trade

pytestmark = [pytest.mark.services]

POISON = (
    b"", b"\x01", b"noise", b"8=FIX.4.4\x019=99999\x0135=X\x01", framed(b"35=X\x01"), b"\xff" * 1_400,
    message("M7", 1, (30001, "UPX"), (55, "VN000000FPT1")), trade(1)[:-3],
)  # fmt: skip


def test_f30_poison_among_sound_messages(live: Started) -> None:
    path = live()
    path.start_all()
    path.start_exchange(rate=1_000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in POISON:
            sender.sendto(data, ("127.0.0.1", path.feed.lines[0].port))  # past the relay: nobody else sends such
            path.flow_on(50)
    path.flow_on(300)
    path.end_exchange()
    drained(path)
    found = gather(path)
    broken = [text for text in violations(path, found) if not text.startswith(("I1", "I3", "I8"))]
    assert broken == [], f"seed {path.seed}"
    journaled = [data for _, _, _, data in found.journal]
    assert [journaled.count(data) for data in POISON if data] == [1] * (len(POISON) - 1)
    assert {letter.data for letter in found.dead} >= {b"\x01", b"noise", b"\xff" * 1_400}


def test_a_letter_is_put_in_again_once(live: Started) -> None:
    """The parser of before the fix refuses a trade; its successor knows that the number was not passed on."""
    path = live()
    for name, rule in (("capture", ""), ("publisher", ""), ("parser-0", "refuses_a_price")):
        path.start(name, broken=rule)
    for name in ("capture", "publisher", "parser-0"):
        path.wait_ready(name)
    trades = [trade(n, price="098777.0" if n == 3 else "98500.0") for n in range(1, 7)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for data in trades:
            sender.sendto(data, ("127.0.0.1", path.feed.lines[0].port))
    path.wait_until(lambda: path.stats("parser-0")["dead"] == 1, "a dead letter")
    time.sleep(1.2)  # a checkpoint is due twice a second
    path.stop("parser-0")
    path.start("parser-0")
    path.wait_ready("parser-0")
    for _ in range(2):
        asyncio.run(reinject(path))
    path.wait_until(lambda: path.stats("parser-0")["duplicates"] == 1, "the second time it is a duplicate")
    assert path.stats("parser-0")["reinjected"] == 1
    assert asyncio.run(trades_of(path)) == [(1, 1), (2, 2), (4, 3), (5, 4), (6, 5), (3, 6)]


async def reinject(path: LivePath) -> None:
    bus = AmqpBus(path.bus, path.prefix, path.partitions)
    await bus.open()
    letters = list(letters_of([text async for text in bus.dead_letters()]))
    prepared = prepare(letters, {path.feed.name: path.feed}, epochs={}, now_ns=time.time_ns())
    assert (len(prepared.letters), prepared.refused) == (1, [])
    await bus.publish_raw([Outgoing(*raw) for raw in prepared.messages])
    await bus.close()


async def trades_of(path: LivePath) -> list[tuple[int, int]]:
    """(source sequence, number) of the trades on the PARSED stream."""
    bus = AmqpBus(path.bus, path.prefix, path.partitions)
    await bus.open()
    bodies = [delivery.body async for delivery in bus.refetch_parsed(path.started_ns)]
    await bus.close()
    records = [json.loads(text) for body in bodies for text in body.split(b"\n")]
    return [(record["q"], record["n"]) for record in records if record["ch"] == "trade"]
