"""The only UDP door of the receiving side: joins a line's group and reads datagrams with kernel timestamps."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from feeds.blocks import FLAG_MESSAGE, FLAG_TRUNCATED, Entry
from feeds.config import LineConfig

# Linux values that Python 3.11 has no names for (include/uapi/linux/in.h, asm-generic/socket.h).
IP_ADD_SOURCE_MEMBERSHIP = 39
IP_MULTICAST_ALL = 49
SO_RCVBUFFORCE = 33
SO_RXQ_OVFL = 40
SO_TIMESTAMPNS = 35

DATAGRAM_BYTES_MAX = 16_384  # a larger datagram is cut by the kernel and marked (FLAG_TRUNCATED)
ANCILLARY_BYTES = 128
_TIMESPEC = struct.Struct("@qq")
_U32 = struct.Struct("@I")


@dataclass(frozen=True, slots=True)
class ReceiveBuffer:
    """What the socket was asked for and what it got (bytes; Linux reports double what is usable)."""

    asked: int
    got: int

    @property
    def enough(self) -> bool:
        return self.got >= self.asked

    def describe(self) -> str:
        if self.enough:
            return f"receive buffer {self.got // 1024:,} KiB"
        return (
            f"receive buffer {self.got // 1024:,} KiB instead of {self.asked // 1024:,} KiB: "
            "run with CAP_NET_ADMIN or raise net.core.rmem_max"
        )


class LineReceiver:
    """One open line. `drops` is the kernel's count of datagrams lost because the buffer was full (SO_RXQ_OVFL)."""

    def __init__(self, line: LineConfig, index: int, buffer_bytes: int) -> None:
        self.line = line
        self.index = index
        self.drops = 0
        self.received = 0
        self.socket = _open(line)
        self.buffer = _enlarge(self.socket, buffer_bytes)

    def fileno(self) -> int:
        return self.socket.fileno()

    def drain(self, entries: list[Entry], most: int) -> bool:
        """Append up to `most` waiting datagrams to `entries`; True when more may wait."""
        receive = self.socket.recvmsg
        index, add = self.index, entries.append
        unpack = _TIMESPEC.unpack_from
        done = 0
        try:
            for done in range(most):  # noqa: B007  the count matters when recvmsg raises
                data, ancillary, flags, _address = receive(DATAGRAM_BYTES_MAX, ANCILLARY_BYTES)
                seconds, nanoseconds = unpack(ancillary[0][2])
                if len(ancillary) > 1 or flags:
                    add(self._unusual(data, ancillary, flags))
                else:
                    add((seconds * 1_000_000_000 + nanoseconds, index, FLAG_MESSAGE, data))
        except BlockingIOError:
            self.received += done
            return False
        self.received += most
        return True

    def _unusual(self, data: bytes, ancillary: list[tuple[int, int, bytes]], flags: int) -> Entry:
        rx_ns = 0
        for _level, kind, value in ancillary:
            if kind == SO_TIMESTAMPNS:
                seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                rx_ns = seconds * 1_000_000_000 + nanoseconds
            elif kind == SO_RXQ_OVFL:
                self.drops = _U32.unpack_from(value)[0]
        cut = FLAG_TRUNCATED if flags & socket.MSG_TRUNC else FLAG_MESSAGE
        return rx_ns, self.index, cut, data

    def close(self) -> None:
        self.socket.close()


def _open(line: LineConfig) -> socket.socket:
    """A non-blocking socket bound to the group itself, so that another group on the same port is not heard."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        receiver.setblocking(False)
        receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        receiver.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        if line.multicast:
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        receiver.bind((line.group, line.port))
        if line.multicast:
            receiver.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
            _join(receiver, line)
    except OSError as error:
        receiver.close()
        where = f"line {line.name} ({line.group}:{line.port} on {line.interface})"
        raise OSError(error.errno, f"{where}: {error.strerror}") from error
    return receiver


def _join(receiver: socket.socket, line: LineConfig) -> None:
    group, interface = socket.inet_aton(line.group), socket.inet_aton(line.interface)
    if line.source:
        membership = group + interface + socket.inet_aton(line.source)
        receiver.setsockopt(socket.IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, membership)
    else:
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + interface)


def _enlarge(receiver: socket.socket, asked: int) -> ReceiveBuffer:
    try:
        receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, asked)
    except PermissionError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, asked)
    return ReceiveBuffer(asked, receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
