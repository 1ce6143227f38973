"""Slow consumers on real sockets: told, conflated, skipped with exact ranges, cut; the others are unharmed."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from subscriptions.gateway import outbox
from subscriptions.gateway.layer import GatewaySettings
from tests.gateway import cast
from tests.gateway.running import Client, RunningGateway, running
from tests.gateway.unread import UnreadSocket

BOUND = 131_072
PADDING = "x" * 400


@pytest.fixture
def narrow(tmp_path: Path) -> Any:
    with running(tmp_path, settings=GatewaySettings(flush_ms=5, outbox_bytes_max=BOUND)) as gateway:
        yield gateway


def fill(gateway: RunningGateway, *, start: int, count: int) -> None:
    """`count` trades and as many depth images, in messages of a hundred."""
    for begin in range(start, start + count, 50):
        numbers = range(begin, min(begin + 50, start + count))
        gateway.publish(
            *(line for n in numbers for line in (cast.trade("FPT", n, pad=PADDING), cast.depth("FPT", n, pad=PADDING)))
        )


def stalled(gateway: RunningGateway) -> Client:
    """A client that follows both streams and from then on reads nothing but what the test asks for."""
    client = Client(gateway.clients.enter_context(UnreadSocket(gateway.server.port)))
    client.frame()
    client.subscribe("trade", "FPT")
    client.subscribe("depth", "FPT")
    return client


def test_a_slow_client_is_told_and_every_record_is_accounted_for(narrow: RunningGateway) -> None:
    slow, quick = stalled(narrow), narrow.connect()
    quick.frame()
    quick.subscribe("trade", "FPT")
    published = 0
    while not narrow.call(lambda: any(seat.outbox.skipped for seat in narrow.layer.seats.values())):
        fill(narrow, start=published + 1, count=100)  # less than makes the quick one slow, should it be late
        published += 100
        assert [one["n"] for one in quick.records(100)] == list(range(published - 99, published + 1))
        assert published < 60_000, "the slow client never became slow"
        held = narrow.call(lambda: max(seat.outbox.measure() for seat in narrow.layer.seats.values()))
        assert held < BOUND + outbox.FRAME_BYTES_MAX + 100_000

    expected, trades, images, codes = 1, 0, 0, []
    while expected <= published or images < published or "SLOW_END" not in codes:
        frame = slow.frame()
        if isinstance(frame, dict) and frame["t"] == "notice":
            codes.append(frame["code"])
            if frame["code"] == "SKIPPED":
                assert (frame["sid"], frame["s"], frame["from"]) == (1, "FPT", expected)
                expected = frame["to"] + 1
            continue
        for one in frame if isinstance(frame, list) else ():
            if one["ch"] == "trade":
                assert one["n"] == expected  # nothing missing that was not said
                expected += 1
                trades += 1
            else:
                assert one["n"] > images  # images may be left out, never out of order
                images = one["n"]
    assert (expected, images) == (published + 1, published)  # the last image arrives in the end
    assert codes[:3] == ["SLOW_START", "SLOW_START", "SKIPPED"]  # one start per subscription
    seat = max(narrow.layer.seats.values(), key=lambda one: one.outbox.skipped).outbox
    assert seat.delivered + seat.conflated + seat.skipped >= 2 * published
    assert narrow.worker.stats()["skipped"] == published - trades


def test_a_client_that_never_reads_is_cut_with_4001(narrow: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "OVER_NS_MAX", 300_000_000)
    slow, quick = stalled(narrow), narrow.connect()
    quick.frame()
    quick.subscribe("trade", "FPT")
    published = 0
    while narrow.call(lambda: len(narrow.layer.seats)) == 2:
        fill(narrow, start=published + 1, count=100)
        published += 100
        quick.records(100)
        assert published < 100_000, "the slow client was never cut"
    assert narrow.worker.stats()["closes"] == {"4001": 1}
    with pytest.raises(ConnectionClosed):
        while True:
            slow.frame()
    # The close frame may not have got through to a client that did not read.
    if slow.socket.close_code == 4001:
        assert json.loads(slow.socket.close_reason)["code"] == "SLOW"
    else:
        assert slow.socket.close_code == 1006
    quick.records(0)
    assert quick.ask(op="ping")["t"] == "pong"


def test_a_client_that_asks_and_never_reads_is_cut(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        limits = dataclasses.replace(cast.LIMITS, ops_per_s=1_000_000, symbols=1_000)
        gateway.keys.grants["alice"] = dataclasses.replace(cast.alice(), limits=limits)
        client = gateway.connect(max_queue=1)
        client.frame()
        symbols = [f"X{number:05d}" for number in range(1_000)]
        began = time.monotonic()
        with pytest.raises(ConnectionClosed):
            while time.monotonic() - began < 10:  # each answer is some 80 KB of SYMBOL_UNKNOWN
                client.send(op="sub", ch="trade", symbols=symbols)
        assert gateway.worker.stats()["closes"] == {"4001": 1}
