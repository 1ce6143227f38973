"""The only UDP door of the receiving side: joins a line's group and reads datagrams with kernel timestamps."""

from __future__ import annotations

import socket

from feeds.blocks import Entry
from feeds.capture.budget import ReceiveBuffer
from feeds.capture.many import DATAGRAMS_MAX, ManyReceiver
from feeds.config import LineConfig

# Linux values that Python 3.11 has no names for (include/uapi/linux/in.h, asm-generic/socket.h).
IP_ADD_SOURCE_MEMBERSHIP = 39
IP_MULTICAST_ALL = 49
SO_RCVBUFFORCE = 33
SO_RXQ_OVFL = 40
SO_TIMESTAMPNS = 35


class LineReceiver:
    """One open line."""

    def __init__(self, line: LineConfig, index: int, buffer_bytes: int) -> None:
        self.line = line
        self.index = index
        self.received = 0
        self.socket = _open(line)
        self._many = ManyReceiver(self.socket.fileno(), index)
        self.buffer = _enlarge(self.socket, buffer_bytes)

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def drops(self) -> int:
        """The kernel's count of datagrams lost because the buffer was full (SO_RXQ_OVFL)."""
        return self._many.drops

    def drain(self, entries: list[Entry], most: int) -> bool:
        """Append up to `most` waiting datagrams to `entries`; True when more may wait."""
        done = 0
        while done < most:
            asked = min(most - done, DATAGRAMS_MAX)
            got = self._many.receive(entries, asked)
            done += got
            if got < asked:
                break
        self.received += done
        return done == most

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
