"""A seeded UDP relay between exchange and capture: loses, doubles, reorders, delays, damages, and logs what it did.

The faults of a line are those of the simulator (`feeds.simulator.faults`), but here they can be changed while the data
flows. `loss_both` is decided by the datagram's bytes, so that both lines lose the same ones. Every datagram that goes
out, and every one that does not, is a row of the log: with it the invariants say what a capture must have received.

`python -m testbed.relay SPEC` runs one as a process; it reads a JSON object of faults from each line of its input.
"""

from __future__ import annotations

import heapq
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from feeds.simulator.faults import FaultRates, LineFaults
from feeds.simulator.truth import digest_of

IN_BUFFER_BYTES = 128 << 20  # asked for: a burst of 60,000 datagrams a second waits for 1.5 s
BATCH_MAX = 256
DELAYED_MAX = 100_000  # datagrams held back by a delay; past it they go out at once and are counted in `sent_early`
LOG_BYTES_MAX = 1 << 20  # at it the buffer is written to the file; nothing is left out
SO_RCVBUFFORCE, SO_RXQ_OVFL = 33, 40
OUT, LOST = 0, 1
_ROW = struct.Struct("<BBQ8s")
ROW_BYTES = _ROW.size
_U32 = struct.Struct("@I")
_EARLY_WORD = 1 << 32
_U64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class RelayFaults:
    """Shares from 0 to 1, of one line; `loss_both` must be the same on both."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    loss_both: float = 0.0
    delay_ms: float = 0.0

    @property
    def any(self) -> bool:
        return self != _NONE

    @property
    def rates(self) -> FaultRates:
        return FaultRates(self.loss, self.duplicate, self.reorder, self.corrupt)


_NONE = RelayFaults()


class RelayRow(NamedTuple):
    """One datagram that went out (OUT) or did not (LOST)."""

    what: int
    line: int
    at_ns: int
    digest: bytes


class RelayLine:
    """One line: what comes to `in_port` goes to `out_port`, through the faults."""

    def __init__(self, index: int, out_port: int, *, seed: int) -> None:
        self.index = index
        self.plan = RelayFaults()
        self.faults = LineFaults(FaultRates(), seed=seed, feed="relay", line="AB"[index])
        self.received = self.sent = self.lost = self.kernel_drops = self.refused = self.sent_early = 0
        self.digest_sum = 0  # of what came, modulo 2^64: the same datagrams have the same sum
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, IN_BUFFER_BYTES)
        except PermissionError:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, IN_BUFFER_BYTES)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.in_port: int = self.socket.getsockname()[1]
        self.out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.out_address = ("127.0.0.1", out_port)

    def counts(self) -> dict[str, int]:
        """Datagrams: received = lost + the first copies of `sent`."""
        names = ("received", "sent", "lost", "kernel_drops", "refused", "sent_early", "digest_sum")
        return {**{name: getattr(self, name) for name in names}, **self.faults.counts}


class Relay:
    """Both lines. Run it in a thread (`start`), or call `run`."""

    def __init__(self, out_ports: Sequence[int], *, seed: int, log: Path) -> None:
        self.seed = seed
        self.lines = [RelayLine(index, port, seed=seed) for index, port in enumerate(out_ports)]
        self._log = log.open("wb")
        self._buffer = bytearray()
        self._delayed: list[tuple[int, int, RelayLine, bytes]] = []
        self._count = 0
        self._stopping = False
        self.flush_due = False  # set by whoever follows the log while it is written
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self.run, name="relay", daemon=True)

    @property
    def in_ports(self) -> tuple[int, ...]:
        return tuple(line.in_port for line in self.lines)

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def set(self, line: int | None = None, **shares: float) -> None:
        """From now on these faults on `line` (on both without one), and no others."""
        for one in self.lines if line is None else (self.lines[line],):
            one.plan = RelayFaults(**shares)
        os.write(self._wake_write, b"x")

    def heal(self) -> None:
        """No faults; what was held back goes out."""
        self.set()

    def stop(self) -> None:
        """Send what is held back, write the log and end."""
        self._stopping = True
        if self.running:
            os.write(self._wake_write, b"x")
            self._thread.join(10)
        self._close()

    def _close(self) -> None:
        if not self._log.closed:
            for line in self.lines:
                line.socket.close()
                line.out.close()
            self._log.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def run(self) -> None:
        poll = select.poll()
        for line in self.lines:
            poll.register(line.socket, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while not self._stopping:
            wait_ms = max(0.0, (self._delayed[0][0] - time.time_ns()) / 1e6) if self._delayed else 1_000.0
            for fd, _ in poll.poll(min(wait_ms, 1_000.0)):
                if fd == self._wake_read:
                    os.read(fd, 64)
            self._turn()
            if self.flush_due:
                self.flush_due = False
                self.flush()
        self._turn()
        while self._delayed:
            _, _, line, data = heapq.heappop(self._delayed)
            self._send(line, data, time.time_ns())
        self.flush()

    def flush(self) -> None:
        self._log.write(self._buffer)
        self._log.flush()
        self._buffer.clear()

    def _turn(self) -> None:
        now_ns = time.time_ns()
        for line in self.lines:
            line.faults.rates = line.plan.rates
            if not line.plan.reorder:
                for data in line.faults.flush():
                    self._offer(line, data, now_ns)
            self._receive(line, now_ns)
        now_ns = time.time_ns()
        while self._delayed and self._delayed[0][0] <= now_ns:
            _, _, line, data = heapq.heappop(self._delayed)
            self._send(line, data, now_ns)

    def _receive(self, line: RelayLine, now_ns: int) -> None:
        shared = int(line.plan.loss_both * _EARLY_WORD)
        plain = not line.plan.any  # what an earlier plan held back has gone out
        for _ in range(BATCH_MAX):
            try:
                data, ancillary, _flags, _address = line.socket.recvmsg(65_536, 64)
            except BlockingIOError:
                return
            if ancillary:
                line.kernel_drops = _U32.unpack_from(ancillary[0][2])[0]
            line.received += 1
            digest = digest_of(data)
            line.digest_sum = (line.digest_sum + int.from_bytes(digest, "little")) & _U64
            if plain:
                self._send(line, data, now_ns, digest=digest)
                continue
            # Heartbeats are the same on both lines, but nobody counts them: they are not lost together.
            both = shared > 0 and int.from_bytes(digest[:4], "little") < shared
            fate, going = line.faults.route(data, lost_on_both=both)
            if fate & 1:
                line.lost += 1
                self._row(LOST, line, now_ns, digest=digest)
            for copy in going:
                self._offer(line, copy, now_ns)

    def _offer(self, line: RelayLine, data: bytes, now_ns: int) -> None:
        if not line.plan.delay_ms:
            self._send(line, data, now_ns)
        elif len(self._delayed) >= DELAYED_MAX:
            line.sent_early += 1
            self._send(line, data, now_ns)
        else:
            self._count += 1
            due_ns = now_ns + int(line.plan.delay_ms * 1e6)
            heapq.heappush(self._delayed, (due_ns, self._count, line, data))

    def _send(self, line: RelayLine, data: bytes, now_ns: int, *, digest: bytes | None = None) -> None:
        try:
            line.out.sendto(data, line.out_address)
        except OSError:
            line.refused += 1
        line.sent += 1
        self._row(OUT, line, now_ns, digest=digest or digest_of(data))

    def _row(self, what: int, line: RelayLine, at_ns: int, *, digest: bytes) -> None:
        self._buffer += _ROW.pack(what, line.index, at_ns, digest)
        if len(self._buffer) >= LOG_BYTES_MAX:
            self.flush()


def row_of(what: int, line: int, *, at_ns: int, data: bytes) -> bytes:
    """One row of a log."""
    return _ROW.pack(what, line, at_ns, digest_of(data))


def rows_of(chunk: bytes) -> Iterator[RelayRow]:
    """The whole rows of a piece of a log."""
    return map(RelayRow._make, tuples_of(chunk))


def tuples_of(chunk: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """The same as plain tuples, for millions of them."""
    whole = len(chunk) // ROW_BYTES * ROW_BYTES
    return _ROW.iter_unpack(chunk[:whole])


def read_log(path: Path) -> Iterator[RelayRow]:
    """The rows of a relay's log; a torn last one is left out."""
    return rows_of(path.read_bytes())


def main() -> None:
    """One relay as a process: SPEC has out_ports, seed, log, counts (where the figures go each second)."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    relay = Relay(spec["out_ports"], seed=spec["seed"], log=Path(spec["log"]))
    # No Event: its lock is held by the thread that waits for it, the one that signals are handled in.
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: stopping.append(number))
    print(json.dumps({"in_ports": relay.in_ports}), flush=True)

    def obey() -> None:
        for text in sys.stdin:
            for line, shares in enumerate(json.loads(text)):
                relay.set(line, **shares)

    threading.Thread(target=obey, daemon=True).start()
    relay.start()
    counts = Path(spec["counts"])
    while not stopping:
        time.sleep(0.5)
        _write(counts, relay)
        relay.flush_due = True
    relay.stop()
    _write(counts, relay)


def _write(path: Path, relay: Relay) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps([line.counts() for line in relay.lines]))
    draft.replace(path)


if __name__ == "__main__":
    main()
