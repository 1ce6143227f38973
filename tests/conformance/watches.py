"""Two sessions that wait in the background from the first test on: one idle, one that answers nothing."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from tests.conformance.raw import CLOSE, PING, raw_client
from tests.conformance.server import Server

SILENT_S_MAX = 45.0


class Watches:
    def __init__(self, server: Server) -> None:
        self._stack = ExitStack()
        self._idle = self._stack.enter_context(server.connect())  # its library answers pings
        self._silent = self._stack.enter_context(raw_client(server))
        self._silent.sock.settimeout(SILENT_S_MAX)
        self._pings: list[float] = []
        self._ended: tuple[int, dict[str, Any], float] | None = None
        self._began = time.monotonic()
        self._beats: list[tuple[float, dict[str, Any]]] = []
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._watch_silent, self._watch_idle)]
        for thread in self._threads:
            thread.start()

    def heartbeats(self, count: int) -> tuple[list[dict[str, Any]], float]:
        """The first so many, and how far the first two are apart."""
        deadline = time.monotonic() + SILENT_S_MAX
        while len(self._beats) < count:
            assert time.monotonic() < deadline, "no heartbeat"
            time.sleep(0.1)
        return [beat for _, beat in self._beats[:count]], self._beats[1][0] - self._beats[0][0]

    def silent(self) -> tuple[list[float], int, dict[str, Any], float]:
        """When pings came, the close, and when that came, in seconds since the connection."""
        self._threads[0].join(SILENT_S_MAX)
        assert self._ended is not None, "the socket is not closed"
        return self._pings, *self._ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def _watch_silent(self) -> None:
        with contextlib.suppress(OSError):  # the session of tests ends before the silence does
            for opcode, payload in self._silent.frames():
                at_s = time.monotonic() - self._began
                if opcode == PING:
                    self._pings.append(at_s)
                elif opcode == CLOSE:
                    self._ended = int.from_bytes(payload[:2]), json.loads(payload[2:]), at_s
                    return

    def _watch_idle(self) -> None:
        for text in self._idle:
            frame = json.loads(text)
            if frame["t"] == "hb":
                self._beats.append((time.monotonic(), frame))
