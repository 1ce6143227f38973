"""A process of many raw clients: opens them, counts until it is told to stop, prints what each one got.

`python -m benches.load SPEC`: prints `ready`, answers each `count` line with the total, and `stop` with the report.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import struct
import sys
import time
from collections import Counter
from typing import Any

from benches.raw_clients import RX, NatsClient, RawClient, WebSocketClient

BUFFER_BYTES = 1 << 20
OPENING_MAX = 64  # under way at once
SAMPLE_EVERY = 97  # reads: of one in so many the age of every record is taken
TIMESTAMPNS = 35  # SO_TIMESTAMPNS and SCM_TIMESTAMPNS of Linux: when the kernel took the last byte that was read
CLIENTS_AN_ADDRESS_MAX = 5_000  # an address has about 28,000 ports


class Load:
    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.clients: dict[int, RawClient] = {}
        self.ages_us: Counter[int] = Counter()  # in steps of 100
        self.unread_us: Counter[int] = Counter()  # how long the last byte of a sampled read lay in the socket
        self._poll = select.epoll()
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._reads = 0

    def open(self) -> list[float]:
        """Open every client; seconds that each took until it was subscribed."""
        began: dict[int, float] = {}
        took: list[float] = []
        waiting = list(enumerate(self.spec["symbols"]))[::-1]
        while waiting or began:
            while waiting and len(began) < OPENING_MAX:
                number, symbols = waiting.pop()
                started = time.monotonic()
                began[self._connect(number, symbols)] = started
            self.turn(0.5)
            for descriptor in [one for one in began if self.clients[one].ready]:
                took.append(time.monotonic() - began.pop(descriptor))
            lost = [one for one in began if self.clients[one].closed]
            if lost:
                raise SystemExit(f"closed before it was subscribed: {self.clients[lost[0]].notices}")
        return took

    def turn(self, timeout_s: float) -> bool:
        """Read what there is; True when a line waits on the input."""
        told = False
        for descriptor, _ in self._poll.poll(timeout_s):
            if descriptor == 0:
                told = True
                continue
            client = self.clients[descriptor]
            self._reads += 1
            sampled = self._reads % SAMPLE_EVERY == 0
            try:
                size = self._read_stamped(client.sock) if sampled else client.sock.recv_into(self._view)
            except BlockingIOError:
                continue
            except OSError:
                size = 0
            if not size:
                client.closed = True
                self._poll.unregister(descriptor)
                continue
            client.feed(self._buffer, size)
            if sampled:
                self._sample(size)
        return told

    def run(self) -> None:
        """Serve the input until `stop`."""
        self._poll.register(0, select.EPOLLIN)
        while True:
            if not self.turn(1.0):
                continue
            line = sys.stdin.readline().strip()
            if line == "count":
                print(sum(client.records for client in self.clients.values()), flush=True)
            elif line == "clear":
                self.ages_us.clear()
                self.unread_us.clear()
            else:
                return

    def report(self) -> dict[str, Any]:
        clients = [self.clients[one] for one in sorted(self.clients)]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        notices: Counter[str] = Counter()
        for client in clients:
            notices.update(client.notices)
        return {
            "records": [client.records for client in clients],
            "skipped": [client.skipped for client in clients],
            "closed": sum(client.closed for client in clients),
            "frames": sum(client.frames for client in clients),
            "bytes": sum(client.bytes for client in clients),
            "heartbeats": [client.heartbeats for client in clients],
            "notices": notices,
            "ages_us": self.ages_us,
            "unread_us": self.unread_us,
            "cpu_s": usage.ru_utime + usage.ru_stime,
        }

    def _connect(self, number: int, symbols: list[str]) -> int:
        spec = self.spec
        source = f"127.0.0.{2 + (spec.get('first', 0) + number) // CLIENTS_AN_ADDRESS_MAX}"
        sock = socket.create_connection(("127.0.0.1", spec["port"]), timeout=20, source_address=(source, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, TIMESTAMPNS, 1)
        client: RawClient
        if spec["kind"] == "nats":
            client = NatsClient(sock, symbols)
        else:
            client = WebSocketClient(sock, symbols, path=spec["path"], key=spec["key"], channel=spec["channel"])
        sock.setblocking(False)
        self.clients[sock.fileno()] = client
        self._poll.register(sock, select.EPOLLIN)
        return sock.fileno()

    def _read_stamped(self, sock: socket.socket) -> int:
        size, found, _, _ = sock.recvmsg_into([self._view], 64)
        for level, kind, data in found:
            if (level, kind) == (socket.SOL_SOCKET, TIMESTAMPNS):
                seconds, ns = struct.unpack("=qq", data[:16])
                self.unread_us[max(0, time.time_ns() - seconds * 1_000_000_000 - ns) // 100_000 * 100] += 1
        return size

    def _sample(self, size: int) -> None:
        now_ns = time.time_ns()
        for found in RX.findall(self._buffer, 0, size):
            self.ages_us[(now_ns - int(found)) // 100_000 * 100] += 1


def main() -> None:
    spec = json.loads(sys.stdin.readline())
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    load = Load(spec)
    took = load.open()
    print(json.dumps({"ready": len(took), "took_s": took}), flush=True)
    load.run()
    print(json.dumps(load.report()), flush=True)


if __name__ == "__main__":
    main()
