"""The stream layer as Channels uses one: channels, groups, bounds; streams as groups; and another ASGI server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from channels.exceptions import ChannelFull
from channels.layers import channel_layers
from channels.testing import WebsocketCommunicator

from subscriptions.gateway.consumer import StreamConsumer
from subscriptions.gateway.layer import StreamLayer, stream_group, stream_layer
from tests.gateway import cast
from tests.gateway.running import KeyTable


class Sink:
    """A client that reads everything at once."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.closed: tuple[int, str] | None = None

    def writable(self) -> bool:
        return self.closed is None

    def write(self, frames: list[bytes]) -> None:
        self.frames += map(json.loads, frames)

    def cut(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


async def test_plain_groups_and_channels() -> None:
    layer = StreamLayer(capacity=2)
    first, second = await layer.new_channel(), await layer.new_channel()
    for channel in (first, second):
        await layer.group_add("news", channel)
    await layer.group_send("news", {"type": "news", "n": 1})
    await layer.group_discard("news", second)
    await layer.group_send("news", {"type": "news", "n": 2})
    assert [(await layer.receive(first))["n"] for _ in range(2)] == [1, 2]
    assert (await layer.receive(second))["n"] == 1
    for _ in range(2):
        await layer.send(first, {"type": "x"})
    with pytest.raises(ChannelFull):
        await layer.send(first, {"type": "x"})
    waiting = asyncio.create_task(layer.receive(second))
    await asyncio.sleep(0)
    await layer.send(second, {"type": "late"})
    assert await waiting == {"type": "late"}
    waiting = asyncio.create_task(layer.receive(second))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert second not in layer._mailboxes  # a consumer that went leaves nothing


async def test_streams_are_groups() -> None:
    layer = StreamLayer()
    sink = Sink()
    seat = layer.open_seat("stream.a", sink)
    seat.session.open(cast.alice())
    group = stream_group("trade", "FPT")
    await layer.group_add(group, "stream.a")
    await layer.group_send(group, {"type": "stream.records", "body": cast.trade("FPT", 1)})
    layer.tick()
    await layer.group_discard(group, "stream.a")
    await layer.group_send(group, {"type": "stream.records", "body": cast.trade("FPT", 2)})
    layer.tick()
    assert [[one["n"] for one in frame] for frame in sink.frames] == [[1]]
    layer.close_seat("stream.a")
    assert (layer.totals.delivered, layer.hub.members) == (1, {})


async def test_many_bytes_are_flushed_without_waiting_for_the_ticker() -> None:
    layer = StreamLayer()
    sink = Sink()
    layer.open_seat("stream.a", sink).session.open(cast.alice())
    await layer.group_add(stream_group("trade", "FPT"), "stream.a")
    for number in range(1, 201):
        layer.publish(cast.trade("FPT", number, pad="x" * 4_000))
    assert sum(map(len, sink.frames)) >= 126


async def test_the_consumer_under_another_server_uses_its_send() -> None:
    layer = StreamLayer()
    before = channel_layers.set("default", layer)
    StreamConsumer.keys = KeyTable()
    try:
        assert stream_layer() is layer
        client = WebsocketCommunicator(
            StreamConsumer.as_asgi(), "/stream/v1", headers=[(b"authorization", b"Bearer alice")],
            subprotocols=["mdds.v1.json"],
        )  # fmt: skip
        assert await client.connect() == (True, "mdds.v1.json")
        assert (await client.receive_json_from())["t"] == "welcome"
        layer.hub.symbols.add("FPT")
        await client.send_json_to({"op": "sub", "id": 1, "ch": "trade", "symbols": ["FPT"]})
        assert (await client.receive_json_from())["ok"] == ["FPT"]
        layer.publish(cast.trade("FPT", 1) + b"\n" + cast.trade("FPT", 2))
        layer.tick()
        assert await client.receive_json_from() == {"t": "state", "sid": 1, "state": "running"}
        assert [one["n"] for one in await client.receive_json_from()] == [1, 2]
        layer.shut_down()
        closed = await client.receive_output()
        assert (closed["type"], closed["code"]) == ("websocket.close", 4000)
        await client.disconnect()
        assert layer.seats == {}
    finally:
        StreamConsumer.keys = None
        if before is None:
            channel_layers.backends.pop("default", None)
        else:
            channel_layers.set("default", before)


async def test_without_a_worker_nobody_gets_in() -> None:
    layer = StreamLayer()
    before = channel_layers.set("default", layer)
    try:
        client = WebsocketCommunicator(StreamConsumer.as_asgi(), "/stream/v1")
        assert await client.connect() == (True, None)
        assert (await client.receive_json_from())["code"] == "SHUTDOWN"
        assert (await client.receive_output())["code"] == 4000
        await client.disconnect()
    finally:
        if before is None:
            channel_layers.backends.pop("default", None)
        else:
            channel_layers.set("default", before)
