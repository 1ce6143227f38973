"""Sends datagrams to one line: a multicast group, or one plain UDP address.

Multicast over loopback, which is where a development system lives, works as follows (tried on Linux 5 and 6, also in a
network namespace that has nothing but `lo`):
- the sender sets IP_MULTICAST_IF to 127.0.0.1, before it connects; TTL 0 keeps the datagrams on the host; LOOP 1;
- the receiver joins with the interface address 127.0.0.1 (IP_ADD_MEMBERSHIP, or IP_ADD_SOURCE_MEMBERSHIP with source
  127.0.0.1), bound to (group, port);
- neither the MULTICAST flag on `lo` nor a multicast route is needed: both are about the choice of an interface, which
  the two options have already made. Without IP_MULTICAST_IF the datagram leaves by the default route instead.
"""

import socket
from collections import deque
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Protocol

from feeds.simulator.batch import Batch

SEND_BUFFER_BYTES = 4 * 1024 * 1024
DELAYED_DATAGRAMS_MAX = 200_000
"""At the bound the oldest delayed datagram goes out early (`sent_early`): none is lost for want of memory."""


class Line(Protocol):
    """What the sender needs of a line: feeds.config.LineConfig has it."""

    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def source(self) -> str | None: ...
    @property
    def interface(self) -> str: ...


class LineUnusable(OSError):
    """The line's socket cannot be set up on this machine."""


class LineSender:
    """A connected UDP socket with its counters. `skew_ms` sends everything that much later, in the same order."""

    def __init__(self, line: Line, *, skew_ms: float = 0.0) -> None:
        self.name = line.name
        self.sent = 0
        self.sent_bytes = 0
        self.sent_early = 0
        self.refused = 0
        """Sends that a previous datagram's ICMP error interrupted: nobody listens at a unicast address."""
        self._skew_ns = int(skew_ms * 1e6)
        self.plain = not self._skew_ns
        """Nothing waits here: what is offered is sent at once."""
        self._delayed: deque[tuple[int, bytes]] = deque()
        self._socket = _open_socket(line)

    def send(self, data: bytes) -> None:
        """Hand one datagram to the kernel, now."""
        try:
            self._socket.send(data)
        except ConnectionRefusedError:
            # the error is the previous datagram's; this one was not sent by the call that reports it
            self.refused += 1
            self._socket.send(data)
        self.sent += 1
        self.sent_bytes += len(data)

    def offer(self, datagrams: Sequence[bytes], now_ns: int) -> None:
        """Send with the line's skew: at once, or when `release` is called late enough."""
        if not self._skew_ns:
            self._send_all(datagrams)
            return
        for data in datagrams:
            if len(self._delayed) >= DELAYED_DATAGRAMS_MAX:
                self.sent_early += 1
                self.send(self._delayed.popleft()[1])
            self._delayed.append((now_ns + self._skew_ns, data))

    def send_batch(self, batch: Batch) -> None:
        """Send a prepared batch at once; the line has no skew."""
        done = 0
        while done < batch.count:
            try:
                done += batch.send(self._socket.fileno(), done)
            except ConnectionRefusedError:  # of the datagram before; none was sent by the call that reports it
                self.refused += 1
        self.sent += batch.count
        self.sent_bytes += batch.size

    def release(self, now_ns: int) -> None:
        """Send what has waited long enough."""
        delayed = self._delayed
        while delayed and delayed[0][0] <= now_ns:
            self.send(delayed.popleft()[1])

    def flush(self) -> None:
        """Send all that still waits, whatever its time."""
        while self._delayed:
            self.send(self._delayed.popleft()[1])

    def close(self) -> None:
        self._socket.close()

    def _send_all(self, datagrams: Sequence[bytes]) -> None:
        """`send` for many, at the cost of the system call alone; one at a time where nobody listens."""
        send = self._socket.send
        done = 0
        try:
            for done, data in enumerate(datagrams, start=1):  # noqa: B007
                send(data)
        except ConnectionRefusedError:
            self.refused += 1
            rest, datagrams = datagrams[done - 1 :], datagrams[: done - 1]
            for data in rest:
                self.send(data)
        self.sent += len(datagrams)
        self.sent_bytes += sum(map(len, datagrams))


def _open_socket(line: Line) -> socket.socket:
    where = f"line {line.name} ({line.group}:{line.port} from {line.source or 'any'} on {line.interface})"
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if IPv4Address(line.group).is_multicast:
            local = IPv4Address(line.interface).is_loopback
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0 if local else 1)
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(line.interface))
        if line.source:
            udp.bind((line.source, 0))
        udp.connect((line.group, line.port))
    except (OSError, ValueError) as error:
        udp.close()
        raise LineUnusable(f"{where}: {error}") from error
    return udp
