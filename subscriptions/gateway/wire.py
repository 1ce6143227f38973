"""The socket of one client under uvicorn: frames written without a task, a copy or a wait per client.

uvicorn's own `send` encodes text and waits for the socket; here a seat's frames go straight to the transport while it
is writable, and the seat is asked again when it becomes writable. Closing never waits for a client that does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from subscriptions.close_codes import CloseCode, close_reason
from subscriptions.gateway.batches import BINARY, TEXT, frame_header
from subscriptions.gateway.layer import RETRY_AFTER_MS

EXTENSION = "mdds.socket"
SEND_BUFFER_BYTES = 262_144  # SO_SNDBUF: what the kernel holds for a client that does not read
WRITE_BYTES_HIGH = 65_536  # of the transport; above it the socket is not writable and the outbox takes over
SHUTDOWN_S = 0.5  # at the end of the process; then the socket is aborted
CLOSE_S = 2.0  # for the peer's close reply or the kernel's buffer; then the socket is aborted


class Inbox:
    """ASGI events for their one reader, instead of an asyncio.Queue with its 3 KiB; bounded by uvicorn, which stops
    reading from the socket at each message until it is taken."""

    __slots__ = ("_events", "_reader")

    def __init__(self) -> None:
        self._events: list[Any] = []
        self._reader: asyncio.Future[None] | None = None

    def put_nowait(self, event: Any) -> None:
        self._events.append(event)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Any:
        while not self._events:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._events.pop(0)

    def empty(self) -> bool:
        return not self._events


class GatewayProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol with a door for direct writes, offered to the application as a scope extension."""

    on_writable: Callable[[], None] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.queue = Inbox()  # type: ignore[assignment]

    def forget_handshake(self) -> None:
        """Once the session is there nobody asks for its headers again: 5 KiB less, and no key in clear in memory."""
        for message in (self.request, self.response):  # the parser's frame holds the request for good
            message.headers.clear()
        headers = self.scope["headers"]
        if isinstance(headers, list):  # the copies of the scope on the way to the application share it
            headers.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=WRITE_BYTES_HIGH, low=WRITE_BYTES_HIGH // 4)
        raw = transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][EXTENSION] = self  # type: ignore[index, assignment]

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self.on_writable = None
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        """No pong: what the transport holds will never be read, so the close must not wait for it."""
        self.pong_timer = None
        self.pending_ping_payload = None
        self.close_now(int(CloseCode.NO_PONG), close_reason("NO_PONG", retry_after_ms=random.randint(*RETRY_AFTER_MS)))

    def shutdown(self) -> None:
        """uvicorn's end: it would wait for clients that do not read, and fail on one whose close it has answered."""
        if not self.transport.is_closing():
            super().shutdown()
        self.loop.call_later(SHUTDOWN_S, self.transport.abort)

    # Access from the seat's sink

    @property
    def usable(self) -> bool:
        """Open, and no close under way from either side."""
        return self.handshake_complete and not (self.close_sent or self.disconnected or self.transport.is_closing())

    def close_now(self, code: int, reason: str) -> None:
        """Send the close frame behind whatever the transport still holds, and abort if it does not get away."""
        if not self.usable:
            return
        self.stop_keepalive()
        with contextlib.suppress(InvalidState):
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.close_timer = self.loop.call_later(CLOSE_S, self.transport.abort)


class WireSink:
    """The sink of a seat whose socket is a GatewayProtocol."""

    def __init__(self, protocol: GatewayProtocol, on_writable: Callable[[], None], *, binary: bool = False) -> None:
        self._protocol = protocol
        self._kind = BINARY if binary else TEXT
        protocol.on_writable = on_writable
        protocol.forget_handshake()

    def writable(self) -> bool:
        return self._protocol.writable.is_set() and self._protocol.usable

    def write(self, frames: list[bytes]) -> None:
        parts: list[bytes] = []
        for frame in frames:
            parts += (frame_header(len(frame), self._kind), frame)
        self._protocol.transport.write(b"".join(parts))

    def write_framed(self, frame: bytes) -> None:
        """A frame with its header, which others may be given as well."""
        self._protocol.transport.write(frame)

    def cut(self, code: int, reason: str) -> None:
        self._protocol.on_writable = None
        self._protocol.close_now(code, reason)
