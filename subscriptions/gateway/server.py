"""Serves an ASGI application, the stream included, with uvicorn inside a loop that is already running."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from subscriptions.gateway.layer import stream_layer
from subscriptions.gateway.wire import GatewayProtocol
from subscriptions.protocol import MESSAGE_BYTES_MAX

log = logging.getLogger(__name__)

BACKLOG = 2_048  # connections the kernel holds for us; past it: the client's connect is retried by its kernel
PING_INTERVAL_S = 20.0
PING_TIMEOUT_S = 13.0  # a silent socket is closed within 33 s
REQUEST_S = 10.0  # from accept to the end of the first request's head; then the connection is aborted
LEAVE_S = 0.3  # for close frames to reach their clients
REQUESTS_S = 2  # for HTTP requests under way; then they are cancelled


class PortBusy(OSError):
    """Somebody listens on the port already."""


class GatewayHttp(HttpToolsProtocol):
    """uvicorn's HTTP with a limit on the time before the first request: a silent connection costs nothing."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(REQUEST_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        self._in_time()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        self.parser = None  # it holds us; the WebSocket's protocol goes on alone

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process's supervisor has them."""

    def __init__(self, config: uvicorn.Config, *, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class GatewayServer:
    kind = "server"

    def __init__(
        self, app: Any, *, host: str, port: int, reuse_port: bool = False, trusted_proxies: tuple[str, ...] = ()
    ) -> None:
        self.app, self.host, self.port, self.reuse_port = app, host, port, reuse_port
        self.trusted_proxies = trusted_proxies
        self.name = f"server {host}:{port}"
        self.started = asyncio.Event()
        self._server: _Server | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then every session is closed with 4000, and all is gone within 3 s."""
        sock = self._listen()
        server = self._server = _Server(self._config(), on_started=self.started.set)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(server.serve(sockets=[sock]), name=self.name)
                await stop.wait()
                layer = stream_layer()
                layer.shut_down()
                if layer.seats:
                    await asyncio.sleep(LEAVE_S)
                server.should_exit = True
        finally:
            sock.close()

    def stats(self) -> dict[str, object]:
        state = self._server.server_state if self._server is not None else None
        return {
            "host": self.host,
            "port": self.port,
            "connections": len(state.connections) if state is not None else 0,
            "requests": state.total_requests if state is not None else 0,
        }

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((self.host, self.port))
            sock.setblocking(False)
        except OSError as error:
            sock.close()
            raise PortBusy(error.errno, f"cannot listen on {self.host} port {self.port}: {error.strerror}") from error
        self.port = sock.getsockname()[1]
        return sock

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self.app,
            http=GatewayHttp,
            ws=GatewayProtocol,
            ws_max_size=MESSAGE_BYTES_MAX,
            ws_ping_interval=PING_INTERVAL_S,
            ws_ping_timeout=PING_TIMEOUT_S,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=bool(self.trusted_proxies),
            forwarded_allow_ips=list(self.trusted_proxies),
            backlog=BACKLOG,
            timeout_graceful_shutdown=REQUESTS_S,
        )
