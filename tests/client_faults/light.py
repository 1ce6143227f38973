"""WebSocket clients that cost next to nothing: hundreds of them in one loop, and one that reads as slowly as told."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
OnText = Callable[[bytes], None]


class Frames:
    """Unfragmented server frames out of bytes; what is left of the handshake's answer goes first."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._opened = False
        self.status = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        self._data += data
        found: list[tuple[int, bytes]] = []
        if not self._opened:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return found
            self.status = bytes(self._data[9:12])
            del self._data[: end + 4]
            self._opened = True
        at, view = 0, self._data
        while len(view) - at >= 2:
            size, head = view[at + 1], 2
            if size == 126:
                head = 4
            elif size == 127:
                head = 10
            if len(view) - at < head:
                break
            if head > 2:
                size = int.from_bytes(view[at + 2 : at + head])
            if len(view) - at < head + size:
                break
            found.append((view[at] & 15, bytes(view[at + head : at + head + size])))
            at += head + size
        del view[:at]
        return found


def handshake(port: int, key: str) -> bytes:
    nonce = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /stream/v1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mdds.v1.json\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    ).encode()


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A client's frame; masked with zeros, so that the payload stays as it is."""
    size = len(payload)
    head = struct.pack("!BB", 128 | opcode, 128 | size) if size < 126 else struct.pack("!BBH", 128 | opcode, 254, size)
    return head + bytes(4) + payload


class LightClient(asyncio.Protocol):
    """Reads as fast as its loop; `on_text` gets each text frame."""

    def __init__(self, on_text: OnText) -> None:
        self.on_text = on_text
        self.close_code: int | None = None
        self.reason: dict[str, Any] = {}
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, port: int, on_text: OnText, *, key: str = "alice", host: str = "127.0.0.1") -> LightClient:
        """Once it has its first text, or was turned away; OSError when nobody listens."""
        _, client = await asyncio.get_running_loop().create_connection(lambda: cls(on_text), host, port)
        client._write(handshake(port, key))
        await asyncio.wait({client.opened, client.ended}, return_when=asyncio.FIRST_COMPLETED)
        return client

    @property
    def status(self) -> bytes:
        return self._frames.status

    def send(self, **message: Any) -> None:
        self._write(frame(json.dumps(message).encode()))

    def abort(self) -> None:
        """The connection is cut: nothing is said, what is under way is lost."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        _open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        _open.discard(self)
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        for opcode, payload in self._frames.feed(data):
            if opcode == TEXT:
                if not self.opened.done():
                    self.opened.set_result(None)
                self.on_text(payload)
            elif opcode == PING:
                self._write(frame(payload, PONG))
            elif opcode == CLOSE:
                self.close_code, self.reason = close_of(payload)
                self._write(frame(payload[:2], CLOSE))
                if self._transport is not None:
                    self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


_open: set[LightClient] = set()


def run(story: Coroutine[Any, Any, None]) -> None:
    """Run a story to its end; its clients end with it."""

    async def to_the_end() -> None:
        try:
            await story
        finally:
            left = list(_open)
            for one in left:
                one.abort()
            await asyncio.gather(*(one.ended for one in left))

    asyncio.run(to_the_end())


class SlowReader:
    """A client whose socket is read only when, and as much as, somebody says; its receive buffer is small."""

    RECEIVE_BUFFER_BYTES = 16_384

    def __init__(self, port: int, *, key: str = "alice") -> None:
        self.frames: list[bytes] = []
        self.close_code: int | None = None
        self.over = False
        self.bytes_read = 0
        self._frames = Frames()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.RECEIVE_BUFFER_BYTES)
        self._socket.connect(("127.0.0.1", port))
        self._socket.sendall(handshake(port, key))
        self._socket.setblocking(False)

    def send(self, **message: Any) -> None:
        self._socket.send(frame(json.dumps(message).encode()))

    def read(self, size: int) -> int:
        """At most so many bytes that are there; how many it were."""
        if self.over:
            return 0
        try:
            data = self._socket.recv(size)
        except BlockingIOError:
            return 0
        except ConnectionError:
            data = b""
        self.over = not data
        self.bytes_read += len(data)
        for opcode, payload in self._frames.feed(data):
            if opcode == TEXT:
                self.frames.append(payload)
            elif opcode == CLOSE:
                self.close_code, _ = close_of(payload)
        return len(data)

    def drain(self) -> int:
        size = 0
        while step := self.read(65_536):
            size += step
        return size

    def close(self) -> None:
        self._socket.close()


def close_of(payload: bytes) -> tuple[int, dict[str, Any]]:
    return int.from_bytes(payload[:2]), json.loads(payload[2:] or b"{}")
