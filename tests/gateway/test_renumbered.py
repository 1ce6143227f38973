"""A parser that lost its count: numbers begin again within an epoch, live and in the delayed spaces behind it."""

from __future__ import annotations

from typing import Any

import pytest

from subscriptions.gateway.layer import StreamLayer
from subscriptions.protocol import CHANNELS, Subscribe
from tests.gateway import cast


class Sink:
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed: int | None = None

    def writable(self) -> bool:
        return self.closed is None

    def write(self, frames: list[bytes]) -> None:
        self.frames += frames

    def cut(self, code: int, reason: str) -> None:
        self.closed = code


def follower(layer: StreamLayer, name: str, channel: str, **asked: Any) -> Sink:
    sink = Sink()
    seat = layer.open_seat(name, sink)
    seat.session.open(cast.grant(cast.rule(CHANNELS)))
    seat.session.subscribe(Subscribe(1, channel, ("FPT",), **asked))
    layer.flush_seat(seat)
    return sink


@pytest.mark.parametrize("origin", ["live", "delayed:900"])
def test_followers_of_the_stream_are_closed_with_4004_and_nobody_else(origin: str) -> None:
    layer = StreamLayer()
    layer.hub.symbols.add("FPT")
    layer.hub.origins.setdefault(origin, {})
    layer.publish(b"\n".join(cast.depth("FPT", number) for number in (1, 2, 3)), origin)
    books, trades = follower(layer, "a", "book", origin=origin), follower(layer, "b", "trade", origin=origin)
    layer.hub.expect_restart("live")
    layer.publish(cast.depth("FPT", 1), origin)
    assert (books.closed, trades.closed) == (4004, None)
    assert layer.totals.closes == {4004: 1}
    stream = layer.hub.stream(origin, "depth", "FPT")
    assert stream is not None
    assert stream.number == 1


def test_a_number_of_the_lost_numbering_is_a_gap_of_the_epoch() -> None:
    layer = StreamLayer()
    layer.hub.symbols.add("FPT")
    layer.publish(b"\n".join(cast.trade("FPT", number) for number in range(1, 10)))
    layer.hub.expect_restart("live")
    layer.publish(cast.trade("FPT", 1))
    ahead = follower(layer, "a", "trade", resume=(("FPT", cast.EPOCH, 9),))
    assert b'{"t":"gap","sid":1,"s":"FPT","from":10,"to":null,"why":"epoch"}' in ahead.frames
    within = follower(layer, "b", "trade", resume=(("FPT", cast.EPOCH, 1),))
    assert b'{"t":"resumed","sid":1,"s":"FPT","from":2}' in within.frames


def test_a_replays_numbers_may_begin_again() -> None:
    """Its parser's successor plays on: a private replay would end with its session."""
    layer = StreamLayer()
    layer.hub.symbols.add("FPT")
    sink = follower(layer, "a", "trade", origin="replay:7")
    layer.publish(b"\n".join(cast.trade("FPT", number, job="replay:7") for number in (1, 2)), "replay:7")
    layer.hub.expect_restart("replay:7")
    layer.publish(cast.trade("FPT", 1, job="replay:7"), "replay:7")
    layer.tick()
    assert sink.closed is None
    assert sum(frame.count(b'"n":1,') for frame in sink.frames) == 2
