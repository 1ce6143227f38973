"""A client of the gateway that is subscribed to everything and checks the numbers of what it gets (I6, I7)."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Mapping

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

CHANNELS = ("trade", "stats", "depth", "expected", "foreign", "index", "status", "definition")
AGAIN_S = 0.2
VIOLATIONS_MAX = 20
SHOWN_MAX = 5
_HEAD = re.compile(r'(\{"ch":"\w+","s":"(?:[^"\\]|\\.)*"),"n":(\d+),"ep":"([^"]*)"')


class SoakClient(threading.Thread):
    """Comes back when it is thrown out. Within a connection every stream counts on by one; a jump must be announced."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(name="client", daemon=True)
        self.url, self.key = url, key
        self.records = 0
        self.by_connection: list[int] = []  # records of each
        self.of_gateway_from = 0  # the first connection to the gateway that runs now
        self.notices: list[str] = []
        self.violations: list[str] = []
        self.failure: BaseException | None = None
        self.subscribed = threading.Event()
        self.last: dict[str, int] = {}  # of this connection, by stream as in Order
        self._stopping = False
        self._socket: ClientConnection | None = None

    @property
    def connections(self) -> int:
        return len(self.by_connection)

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        while not self._stopping:
            try:
                with connect(
                    self.url, additional_headers=headers, compression=None, max_size=None, max_queue=None
                ) as self._socket:
                    self.by_connection.append(0)
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

    def gateway_died(self) -> None:
        """Later connections are to another process. Call it between its end and the next one's start."""
        self.of_gateway_from = len(self.by_connection)

    def lacks(self, last: Mapping[str, int], *, delivered: int) -> list[str]:
        """I6, when nothing moves: the last number of each stream is PARSED's, and what the gateway calls delivered
        is here."""
        behind = {stream: n for stream, n in self.last.items() if last.get(stream) != n}
        found = []
        if behind:
            some = ", ".join(
                f"{stream} n {n}, not {last.get(stream)}" for stream, n in list(behind.items())[:SHOWN_MAX]
            )
            found.append(f"I6 client: {len(behind)} streams end elsewhere: {some}")
        here = sum(self.by_connection[self.of_gateway_from :])
        if here != delivered:
            found.append(f"I6 client: {here:,} records here, {delivered:,} delivered by the gateway")
        return found

    def _read(self, socket: ClientConnection) -> None:
        for number, channel in enumerate(CHANNELS, 1):
            socket.send(json.dumps({"op": "sub", "id": number, "ch": channel, "symbols": ["*"], "snapshot": False}))
        answers = 0
        self.last = last = {}
        for message in socket:
            text = str(message)
            if text.startswith("["):
                self._take(text, last)
                continue
            control = json.loads(text)
            answers += control["t"] == "sub"
            if answers == len(CHANNELS):
                self.subscribed.set()
            if control["t"] in ("notice", "error", "gap") and len(self.notices) < VIOLATIONS_MAX:
                self.notices.append(text[:300])

    def _take(self, text: str, last: dict[str, int]) -> None:
        heads = _HEAD.findall(text)
        self.records += len(heads)
        self.by_connection[-1] += len(heads)
        for head, n, epoch in heads:
            stream, number = f"{head} {epoch}", int(n)
            before = last.get(stream)
            if before is not None and number != before + 1 and len(self.violations) < VIOLATIONS_MAX:
                self.violations.append(f"I7 client, connection {self.connections}: {stream} n {number} after {before}")
            last[stream] = number
