"""The fan-out of the stock Channels layers: uvicorn, a plain consumer, one `group_send` a record, in one process."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any
from urllib.parse import parse_qs

import psutil
import uvicorn
import uvloop
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import InMemoryChannelLayer, channel_layers
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings

from benches.fanout_run import Loads, Outcome, Work, measure
from benches.gateway_under_test import Talker
from benches.inject import Records, publish
from testbed.ports import free_port
from testbed.redis import PrivateRedis

LAYERS = ("InMemoryChannelLayer", "RedisChannelLayer", "RedisPubSubChannelLayer")


class PlainConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One group a symbol, one frame a record: what the Channels tutorial teaches."""

    async def connect(self) -> None:
        asked = parse_qs(self.scope["query_string"].decode())["symbols"][0]
        for symbol in asked.split(","):
            await self.channel_layer.group_add(symbol, self.channel_name)
        await self.accept()

    async def record(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


class Started(uvicorn.Server):
    """Says when it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        print("ready", flush=True)


def on_layer(layer: str, work: Work) -> Outcome:
    """The work on one of the stock layers."""
    redis = PrivateRedis() if layer.startswith("Redis") else None
    if redis is not None:
        redis.start()
    port = free_port()
    spec = {
        "layer": layer, "redis": redis.url if redis is not None else "", "port": port, "symbols": work.names,
        "rate": work.rate, "seconds": work.seconds,
    }  # fmt: skip
    server = Talker("benches.stock_layers", json.dumps(spec))
    try:
        server.hear()
        loads = Loads(work, kind="websocket", port=port, path="/", key="", channel="trade")
        try:
            process = psutil.Process(server.process.pid)
            return measure(layer, work, process=process, loads=loads, publish=lambda: json.loads(server.ask("go")))
        finally:
            loads.close()
    finally:
        server.close()
        if redis is not None:
            redis.close()


def _layer_of(spec: dict[str, Any]) -> Any:
    if spec["layer"] == "InMemoryChannelLayer":
        return InMemoryChannelLayer()
    # redis-py drops idle sockets after 5 s otherwise.
    host = {"address": spec["redis"], "socket_timeout": None}
    kind = RedisChannelLayer if spec["layer"] == "RedisChannelLayer" else RedisPubSubChannelLayer
    return kind(hosts=[host])


async def serve(spec: dict[str, Any]) -> None:
    layer = _layer_of(spec)
    channel_layers.set("default", layer)
    config = uvicorn.Config(
        PlainConsumer.as_asgi(), port=spec["port"], ws="websockets-sansio", lifespan="off", log_level="warning",
        ws_per_message_deflate=False, access_log=False,
    )  # fmt: skip
    server = Started(config)
    serving = asyncio.create_task(server.serve())
    await asyncio.to_thread(sys.stdin.readline)
    records = Records(spec["symbols"])

    async def send(made: list[tuple[str, bytes]]) -> None:
        for symbol, line in made:
            await layer.group_send(symbol, {"type": "record", "text": line.decode()})

    result = await publish(records, send, rate=spec["rate"], seconds=spec["seconds"])
    result["by_symbol"] = dict(zip(records.symbols, records.numbers, strict=True))
    print(json.dumps(result), flush=True)
    await serving


def main() -> None:
    settings.configure(CHANNEL_LAYERS={})
    uvloop.run(serve(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
