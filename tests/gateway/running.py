"""A gateway with real sockets in a thread of its own, fed by hand through the memory bus."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvloop
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.routing import URLRouter
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from feeds.bus.base import Outgoing
from feeds.bus.memory import MemoryBus
from subscriptions.entitlements import Grant
from subscriptions.gateway.edges import GatewayEdges
from subscriptions.gateway.layer import GatewaySettings, StreamLayer
from subscriptions.gateway.routing import websocket_urlpatterns
from subscriptions.gateway.server import GatewayServer
from subscriptions.gateway.worker import GatewayWorker
from subscriptions.protocol import SUBPROTOCOL_JSON, ProtocolError
from tests.gateway import cast
from tests.gateway.unread import UnreadSocket

WAIT_S = 5.0


class KeyTable:
    """Keys in memory: what `authenticate` and `refresh_grant` do with rows."""

    def __init__(self) -> None:
        self.grants: dict[str, Grant] = {"alice": cast.alice(), "bob": cast.bob()}
        self.ended: dict[str, ProtocolError] = {}
        self.public = cast.stranger()
        self.down = False

    async def login(self, secret: str, address: str | None) -> Grant:
        if self.down:
            raise ProtocolError("OVERLOADED", "keys cannot be checked right now", fatal=True)
        if secret not in self.grants:
            raise ProtocolError("AUTH_FAILED", "invalid key", fatal=True)
        return await self.refresh(self.grants[secret].key_id)

    async def anonymous(self) -> Grant:
        return self.public

    async def refresh(self, key_id: str) -> Grant:
        if self.down:
            raise ProtocolError("OVERLOADED", "keys cannot be checked right now", fatal=True)
        if key_id in self.ended:
            raise self.ended[key_id]
        return next((one for one in self.grants.values() if one.key_id == key_id), self.public)

    async def refresh_all(self, key_ids: Sequence[str]) -> dict[str, Grant | ProtocolError]:
        found: dict[str, Grant | ProtocolError] = {}
        for key_id in key_ids:
            try:
                found[key_id] = await self.refresh(key_id)
            except ProtocolError as error:
                if error.code == "OVERLOADED":
                    raise
                found[key_id] = error
        return found

    def close(self) -> None:
        """Nothing is held."""


class DeadControl(InMemoryChannelLayer):  # type: ignore[misc]
    """A control layer whose Redis is away."""

    async def group_add(self, group: str, channel: str) -> None:
        raise ConnectionError("Redis is away")


class RunningGateway:
    def __init__(
        self,
        folder: Path,
        *,
        settings: GatewaySettings | None = None,
        control: Any = None,
        edges: GatewayEdges | None = None,
        address: tuple[str, int] = ("127.0.0.1", 0),
    ) -> None:
        self.bus = MemoryBus(folder, 1)
        self.layer = StreamLayer()
        self.keys = KeyTable()
        self.control = control or InMemoryChannelLayer()
        edges = edges or GatewayEdges(self.keys, self._instruments, self.control)
        settings = settings or GatewaySettings(flush_ms=5)
        self.worker = GatewayWorker(self.bus, layer=self.layer, settings=settings, edges=edges)
        self.server = GatewayServer(URLRouter(websocket_urlpatterns), host=address[0], port=address[1])
        self.clients = ExitStack()
        self._stop = asyncio.Event()
        self._loop = uvloop.new_event_loop()
        self._ready = threading.Event()
        self._numbers: dict[str, Iterator[int]] = {}
        self._last: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)

    async def _instruments(self) -> dict[str, tuple[str, str]]:
        return dict(cast.INSTRUMENTS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        await self.bus.open()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.worker.run(self._stop))
            group.create_task(self.server.run(self._stop))
            await self.server.started.wait()
            self._ready.set()
        await self.bus.close()

    def start(self) -> None:
        channel_layers.set("default", self.layer)
        self._thread.start()
        assert self._ready.wait(WAIT_S), "the gateway did not start"
        self.until(lambda: self.worker.intake.source is self.bus and bool(self.bus._parsed), "the intake consumes")

    def stop(self) -> float:
        """Seconds that the stop took."""
        began = time.monotonic()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "the gateway did not stop"
        return time.monotonic() - began

    def call(self, function: Callable[[], Any]) -> Any:
        """The result of a function run in the gateway's loop."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(WAIT_S)

    def until(self, true: Callable[[], bool], what: str, *, wait_s: float = WAIT_S) -> None:
        deadline = time.monotonic() + wait_s
        while not self.call(true):
            assert time.monotonic() < deadline, f"waited {wait_s} s in vain: {what}"
            time.sleep(0.005)

    def publish(self, *lines: bytes, origin: str = "live", first: int | None = None, run: str = "1") -> None:
        """One PARSED message with the next record numbers of its origin, through the bus."""
        begin = self._last.get(origin, 0) + 1 if first is None else first
        last = begin + len(lines) - 1
        self._last[origin] = max(last, self._last.get(origin, 0))
        headers = {
            "feed": "HSX", "epoch": cast.EPOCH, "origin": origin, "partition": 0, "run": run,
            "first": begin, "last": last, "t_rx": time.time_ns(), "t_pub": time.time_ns(),
        }  # fmt: skip
        message = Outgoing(0, b"\n".join(lines), headers)
        asyncio.run_coroutine_threadsafe(self.bus.parsed_outbox().put(message), self._loop).result(WAIT_S)

    def connect(self, key: str | None = "alice", **options: Any) -> Client:
        headers = dict(options.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        path = options.pop("path", "/stream/v1")
        options.setdefault("subprotocols", [SUBPROTOCOL_JSON])
        options.setdefault("compression", None)
        options.setdefault("close_timeout", 0.2)
        address = f"ws://127.0.0.1:{self.server.port}{path}"
        return Client(self.clients.enter_context(connect(address, additional_headers=headers, **options)))


def closed_with(client: Client) -> tuple[int, dict[str, Any]]:
    """The close code and reason, after whatever still comes."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.socket.recv(timeout=WAIT_S)
    assert client.socket.close_code is not None
    return client.socket.close_code, json.loads(client.socket.close_reason or "{}")


class Client:
    """A client that reads frames one by one; `records` flattens data frames."""

    def __init__(self, socket: ClientConnection | UnreadSocket) -> None:
        self.socket = socket
        self.states: list[tuple[int, str]] = []  # what was announced between the records
        self._ids = itertools.count(1)

    def frame(self, timeout_s: float = WAIT_S) -> Any:
        return json.loads(self.socket.recv(timeout=timeout_s))

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def ask(self, **message: Any) -> Any:
        """Send an operation and return the next frame."""
        self.send(**message)
        return self.frame()

    def subscribe(self, channel: str, *symbols: str, **members: Any) -> Any:
        return self.ask(op="sub", id=next(self._ids), ch=channel, symbols=list(symbols), **members)

    def records(self, count: int, timeout_s: float = WAIT_S) -> list[dict[str, Any]]:
        """The next `count` records; control frames in between fail the test."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            frame = self.frame(timeout_s)
            if isinstance(frame, dict) and frame["t"] == "state":
                self.states.append((frame["sid"], frame["state"]))
                continue
            assert isinstance(frame, list), f"expected records, got {frame}"
            found += frame
        assert len(found) == count, f"expected {count} records, got {len(found)}: {found}"
        return found


@contextmanager
def running(folder: Path, **options: Any) -> Iterator[RunningGateway]:
    gateway = RunningGateway(folder, **options)
    before = channel_layers.backends.get("default")
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.clients.close()  # first: a gateway with sessions waits for its close frames to arrive
        gateway.stop()
        if before is None:
            channel_layers.backends.pop("default", None)
        else:
            channel_layers.set("default", before)


@contextmanager
def open_raw(gateway: RunningGateway) -> Iterator[socket.socket]:
    """A socket that has its welcome, and a client that can do wrong on it."""
    with socket.create_connection(("127.0.0.1", gateway.server.port), timeout=5) as raw:
        key = base64.b64encode(os.urandom(16)).decode()
        raw.sendall(
            f"GET /stream/v1 HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        received = b""
        while not received.endswith(b'Z"}'):
            received += raw.recv(4096)
        yield raw
