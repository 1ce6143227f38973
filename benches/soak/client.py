"""A client of the gateway that is subscribed to everything and checks the numbers of what it gets (I6, I7)."""

from __future__ import annotations

import json
import re
import threading
import time

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

CHANNELS = ("trade", "stats", "depth", "expected", "foreign", "index", "status", "definition")
AGAIN_S = 0.2
VIOLATIONS_MAX = 20
_HEAD = re.compile(r'\{"ch":"(\w+)","s":"((?:[^"\\]|\\.)*)","n":(\d+),"ep":"([^"]*)"')


class SoakClient(threading.Thread):
    """Comes back when it is thrown out. Within a connection every stream counts on by one; a jump must be announced."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(name="client", daemon=True)
        self.url, self.key = url, key
        self.records = 0
        self.connections = 0
        self.notices: list[str] = []
        self.violations: list[str] = []
        self.failure: BaseException | None = None
        self.subscribed = threading.Event()
        self._stopping = False
        self._socket: ClientConnection | None = None

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        while not self._stopping:
            try:
                with connect(
                    self.url, additional_headers=headers, compression=None, max_size=None, max_queue=None
                ) as self._socket:
                    self._read(self._socket)
            except (OSError, InvalidHandshake, ConnectionClosed, EOFError):
                time.sleep(AGAIN_S)
            except Exception as error:
                self.failure = error
                return

    def stop(self) -> None:
        self._stopping = True
        if self._socket is not None:
            self._socket.close()
        self.join(10)

    def _read(self, socket: ClientConnection) -> None:
        for number, channel in enumerate(CHANNELS, 1):
            socket.send(json.dumps({"op": "sub", "id": number, "ch": channel, "symbols": ["*"], "snapshot": False}))
        answers = 0
        last: dict[tuple[str, str, str], int] = {}
        for message in socket:
            text = str(message)
            if not text.startswith("["):
                control = json.loads(text)
                answers += control["t"] == "sub"
                if answers == len(CHANNELS) and not self.subscribed.is_set():
                    self.subscribed.set()
                if control["t"] == "sub" and answers == len(CHANNELS):
                    self.connections += 1
                if control["t"] in ("notice", "error", "gap") and len(self.notices) < VIOLATIONS_MAX:
                    self.notices.append(text[:300])
                continue
            for channel, symbol, n, epoch in _HEAD.findall(text):
                self.records += 1
                stream, number = (channel, symbol, epoch), int(n)
                before = last.get(stream)
                if before is not None and number != before + 1 and len(self.violations) < VIOLATIONS_MAX:
                    self.violations.append(f"I7 client, connection {self.connections}: {stream} n {n} after {before}")
                last[stream] = number
