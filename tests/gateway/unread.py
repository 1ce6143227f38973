"""A WebSocket client that reads its socket only inside `recv`: no thread empties it behind the test's back."""

from __future__ import annotations

import socket
from collections import deque
from types import TracebackType
from typing import Self

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from subscriptions.protocol import SUBPROTOCOL_JSON

RECEIVE_BUFFER_BYTES = 65_536
READ_BYTES = 65_536


class UnreadSocket:
    """What the tests use of a `websockets.sync` connection, over the same protocol core."""

    def __init__(self, port: int, *, key: str = "alice") -> None:
        self._protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/stream/v1"), subprotocols=[SUBPROTOCOL_JSON])
        self._raw = socket.socket()
        self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)  # fixed: it does not grow
        self._raw.connect(("127.0.0.1", port))
        self._texts: deque[str] = deque()
        request = self._protocol.connect()
        request.headers["Authorization"] = f"Bearer {key}"
        self._protocol.send_request(request)
        self._write()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._raw.close()

    @property
    def close_code(self) -> int | None:
        return self._protocol.close_code

    @property
    def close_reason(self) -> str | None:
        return self._protocol.close_reason

    def send(self, text: str) -> None:
        self._protocol.send_text(text.encode())
        self._write()

    def recv(self, timeout: float) -> str:
        """The next text; ConnectionClosed when there is none."""
        self._raw.settimeout(timeout)
        while not self._texts:
            try:
                data = self._raw.recv(READ_BYTES)
            except ConnectionError:
                data = b""
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            for event in self._protocol.events_received():
                if isinstance(event, Response):
                    assert event.status_code == 101, event
                elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                    assert event.fin, "the gateway does not fragment"
                    self._texts.append(bytes(event.data).decode())
            if not self._texts and not data:
                raise self._protocol.close_exc
            self._write()
        return self._texts.popleft()

    def _write(self) -> None:
        try:
            for data in self._protocol.data_to_send():
                if data:
                    self._raw.sendall(data)
        except ConnectionError:
            return  # the peer has gone: the next recv says so
