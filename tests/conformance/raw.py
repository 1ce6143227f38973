"""A WebSocket client that sends whatever bytes it is told to."""

from __future__ import annotations

import base64
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.conformance.server import WAIT_S, Server

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
Frame = tuple[int, bytes]  # opcode, payload


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """One frame as a client should send it, or not."""
    size = len(payload)
    first, mask = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    cover = (key * (size // 4 + 1))[:size]
    return head + key + (int.from_bytes(payload) ^ int.from_bytes(cover)).to_bytes(size)


class Raw:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._data = b""

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            """The server had enough of it: what it said stands in its close."""

    def frames(self) -> Iterator[Frame]:
        """What the server sends until the end of the connection."""
        while True:
            opcode, size = self._take(1)[0], self._take(1)[0]
            if size == 126:
                size = int.from_bytes(self._take(2), "big")
            elif size == 127:
                size = int.from_bytes(self._take(8), "big")
            yield opcode & 15, self._take(size)

    def close_code(self) -> int | None:
        """Of the close frame, after whatever comes before it; None for a connection that ends without one, 1005 for
        a close without a code."""
        try:
            for opcode, payload in self.frames():
                if opcode == CLOSE:
                    return int.from_bytes(payload[:2], "big") if payload else 1005
        except (EOFError, ConnectionResetError):
            return None
        return None

    def _take(self, count: int) -> bytes:
        while len(self._data) < count:
            more = self.sock.recv(65_536)
            if not more:
                raise EOFError
            self._data += more
        taken, self._data = self._data[:count], self._data[count:]
        return taken


@contextmanager
def raw_client(server: Server, key: str = "full", *, receive_bytes: int = 0) -> Iterator[Raw]:
    """A connection that has had its welcome; `receive_bytes` of SO_RCVBUF."""
    with socket.socket() as sock:
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(WAIT_S)
        sock.connect(("127.0.0.1", server.system.base_port + 1))
        nonce = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            f"GET /stream/v1 HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Authorization: Bearer {server.secrets[key]}\r\n"
            f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 101"), head
        raw = Raw(sock)
        assert next(raw.frames())[1].startswith(b'{"t":"welcome"')
        yield raw
