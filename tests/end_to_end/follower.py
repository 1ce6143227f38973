"""A client that keeps every frame it gets, in a thread of its own, and comes back when it is thrown out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from testbed.system import System

CHANNELS = ("trade", "stats", "depth", "expected", "foreign", "index", "status", "definition")
CONNECT_S_MAX = 30.0
AGAIN_S = 0.1
Record = dict[str, Any]


class Follower:
    """Subscribes `symbols` of `channels` without a snapshot. `connections` has the data frames of each one that was
    subscribed: a gateway that goes or comes may turn a client away."""

    def __init__(
        self,
        system: System,
        *,
        channels: Sequence[str] = CHANNELS,
        symbols: Sequence[str] = ("*",),
        origin: str = "live",
        key: str = "",
    ) -> None:
        self.connections: list[list[str]] = []
        self.notices: list[Record] = []
        self.count = 0
        self.received_at = time.monotonic()
        self._url = system.stream_url
        self._headers = {"Authorization": f"Bearer {key or system.key}"}
        self._operations = [
            {"op": "sub", "id": number, "ch": channel, "symbols": list(symbols), "snapshot": False, "origin": origin}
            for number, channel in enumerate(channels, start=1)
        ]
        self._ready = threading.Event()
        self._closing = False
        self._socket: ClientConnection | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        if not self._ready.wait(CONNECT_S_MAX):
            raise AssertionError(f"not subscribed within {CONNECT_S_MAX} s: {self._failure!r}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing = True
        if self._socket is not None:
            self._socket.close()
        self._thread.join(10)

    def records(self) -> list[Record]:
        """Everything received so far; numbers as they stand in the JSON text."""
        return [record for number in range(len(self.connections)) for record in self.records_of(number)]

    def records_of(self, connection: int) -> list[Record]:
        found: list[Record] = []
        for frame in list(self.connections[connection]):
            found += json.loads(frame, parse_float=str)
        return found

    def wait_for(self, done: Callable[[], bool], *, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            assert self._failure is None, self._failure
            assert time.monotonic() < deadline, f"{self.count} records, not what was expected within {timeout_s} s"
            time.sleep(0.05)

    def wait_for_count(self, count: int, *, timeout_s: float) -> None:
        """Return when so many records have come, or at the time-out: what is missing then is for the test to say."""
        deadline = time.monotonic() + timeout_s
        while self.count < count and time.monotonic() < deadline:
            time.sleep(0.05)

    def wait_until_quiet(self, *, idle_s: float, timeout_s: float) -> None:
        """Return when nothing has come for `idle_s`."""
        began = time.monotonic()
        self.wait_for(lambda: time.monotonic() - max(began, self.received_at) > idle_s, timeout_s=timeout_s)

    def _run(self) -> None:
        while not self._closing:
            try:
                with connect(
                    self._url, additional_headers=self._headers, compression=None, max_size=None, max_queue=None
                ) as self._socket:
                    self._read(self._socket)
            except (OSError, InvalidHandshake, ConnectionClosed, EOFError) as error:
                if not self._ready.is_set():
                    self._failure = None if isinstance(error, OSError) else error
                time.sleep(AGAIN_S)
            except Exception as error:
                self._failure = error
                return

    def _read(self, socket: ClientConnection) -> None:
        for operation in self._operations:
            socket.send(json.dumps(operation))
        answers = 0
        frames: list[str] = []
        for message in socket:
            text = str(message)
            if text.startswith("["):
                frames.append(text)
                self.count += text.count('{"ch":"')
                self.received_at = time.monotonic()
                continue
            control = json.loads(text)
            if control["t"] == "sub":
                assert control["sid"] is not None, control
                answers += 1
                if answers == len(self._operations):
                    self.connections.append(frames)
                    self._ready.set()
            elif control["t"] in ("notice", "error", "gap"):
                self.notices.append(control)
