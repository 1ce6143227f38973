"""Clients that count what they are sent, from raw bytes: WebSocket and NATS, nothing decoded."""

from __future__ import annotations

import abc
import base64
import json
import os
import re
import socket
import struct
from collections import Counter

CHANNEL = "trade"  # what a client follows unless it is told another channel
RX = re.compile(rb'"rx":(\d{19})')


class Refused(RuntimeError):
    """The server did not take the client; the text is its answer."""


class RawClient(abc.ABC):
    """One socket. `feed` is called with what was received; `ready` once everything is subscribed."""

    def __init__(self, sock: socket.socket, symbols: list[str], *, channel: str = CHANNEL) -> None:
        self.sock, self.symbols = sock, symbols
        # Begins every record and stands nowhere else in one. A long text is found in half the time of a short one.
        self._marker = b'{"ch":"%b","s":"' % channel.encode()
        self.ready = self.closed = False
        self.records = self.frames = self.bytes = self.skipped = self.heartbeats = 0
        self.notices: Counter[str] = Counter()
        self._tail = b""  # of the piece before, in which a marker may have begun

    @abc.abstractmethod
    def feed(self, data: bytearray, end: int) -> None:
        """Count the first `end` bytes of `data`."""

    def _count(self, data: bytearray, start: int, end: int, *, more: bool) -> None:
        """The records that begin in a piece; `more`: it goes on in the next piece."""
        overlap = len(self._marker) - 1
        self.records += data.count(self._marker, start, end)
        if self._tail:
            self.records += (self._tail + data[start : min(end, start + overlap)]).count(self._marker)
        if more:
            self._tail = (self._tail + data[max(start, end - overlap) : end])[-overlap:]
        elif self._tail:
            self._tail = b""


class WebSocketClient(RawClient):
    """Subscribes one channel of `mdds.v1`; a plain server (without a key) is only listened to."""

    def __init__(self, sock: socket.socket, symbols: list[str], *, path: str, key: str, channel: str) -> None:
        super().__init__(sock, symbols, channel=channel)
        self._channel, self._mdds = channel, bool(key)
        self._left = 0  # bytes of the frame under way
        self._kind = 0
        self._control: bytearray | None = None  # a frame that is looked into
        self._head = b""  # a frame's beginning that is not enough yet, or the handshake's answer
        self._upgraded = False
        nonce = base64.b64encode(os.urandom(16)).decode()
        bearer = f"Authorization: Bearer {key}\r\n" if key else ""
        query = "" if key else f"?symbols={','.join(symbols)}"
        sock.sendall(
            f"GET {path}{query} HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{bearer}"
            f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def feed(self, data: bytearray, end: int) -> None:
        self.bytes += end
        if self._head:
            data = bytearray(self._head) + data[:end]
            end, self._head = len(data), b""
        at = 0
        if not self._upgraded:
            at = self._answered(data, end)
        while at < end:
            if not self._left:
                start = self._begin(data, at, end)
                if not start:
                    self._head = bytes(data[at:end])
                    return
                at = start
            took = min(self._left, end - at)
            self._left -= took
            if self._control is None:
                self._count(data, at, at + took, more=bool(self._left))
            else:
                self._control += data[at : at + took]
            at += took
            if not self._left:
                self.frames += 1
                if self._control is not None:
                    self._controlled(bytes(self._control))

    def send(self, kind: int, payload: bytes) -> None:
        """One frame, masked with zeros."""
        size = len(payload)
        head = struct.pack("!BB", kind, 0x80 | size) if size < 126 else struct.pack("!BBH", kind, 0xFE, size)
        self.sock.sendall(head + b"\0\0\0\0" + payload)

    def _answered(self, data: bytearray, end: int) -> int:
        """Where frames begin, once the handshake's answer is whole."""
        blank = data.find(b"\r\n\r\n", 0, end)
        if blank < 0:
            self._head = bytes(data[:end])
            return end
        if not data.startswith(b"HTTP/1.1 101"):
            raise Refused(bytes(data[:end]).decode(errors="replace"))
        self._upgraded = True
        if not self._mdds:
            self.ready = True
        return blank + 4

    def _begin(self, data: bytearray, at: int, end: int) -> int:
        """Read a frame's head; where its payload begins, 0 when it takes more bytes to tell."""
        if end - at < 2:
            return 0
        self._kind, size, start = data[at], data[at + 1], at + 2
        if size == 126:
            start += 2
            size = int.from_bytes(data[at + 2 : start], "big") if start <= end else 0
        elif size == 127:
            start += 8
            size = int.from_bytes(data[at + 2 : start], "big") if start <= end else 0
        if start >= end and not (start == end and size == 0 and data[at + 1] == 0):
            return 0
        data_frame = self._kind in (0x81, 0x82) and size and data[start] != 0x7B
        self._left, self._control = size, None if data_frame else bytearray()
        if not size:
            self._controlled(b"")
        return start

    def _controlled(self, payload: bytes) -> None:
        self._control = None
        if self._kind == 0x89:
            return self.send(0x8A, payload)
        if self._kind == 0x88:
            self.closed = True
            self.notices[f"closed {payload[2:].decode(errors='replace')}"] += 1
            return
        if not self._mdds:  # a plain server's record in a frame of its own
            self.records += payload.count(self._marker)
            return
        message = json.loads(payload)
        match message.get("t"):
            case "welcome":
                asked = {"op": "sub", "id": 1, "ch": self._channel, "symbols": self.symbols, "snapshot": False}
                self.send(0x81, json.dumps(asked).encode())
            case "sub":
                if message["errors"]:
                    raise Refused(payload.decode())
                self.ready = True
            case "hb":
                self.heartbeats += 1
            case "notice":
                self.notices[message["code"]] += 1
                if message["code"] == "SKIPPED":
                    self.skipped += message["to"] - message["from"] + 1
            case "error":
                raise Refused(payload.decode())


class NatsClient(RawClient):
    """One SUB per symbol."""

    def __init__(self, sock: socket.socket, symbols: list[str]) -> None:
        super().__init__(sock, symbols)
        asked = "".join(f"SUB md.{symbol} {number}\r\n" for number, symbol in enumerate(symbols, start=1))
        sock.sendall(f'CONNECT {{"verbose":false,"pedantic":false}}\r\n{asked}PING\r\n'.encode())

    def feed(self, data: bytearray, end: int) -> None:
        self.bytes += end
        self.frames += 1
        if not self.ready:
            self.ready = data.find(b"PONG\r\n", 0, end) >= 0
            if data.find(b"-ERR", 0, end) >= 0:
                raise Refused(bytes(data[:end]).decode(errors="replace"))
        self._count(data, 0, end, more=True)
