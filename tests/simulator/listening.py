"""A socket that listens to one line by the recipe of feeds/simulator/sender.py."""

import socket

from feeds.config import LineConfig

_BUFFER_BYTES = 8 * 1024 * 1024


class Listener:
    def __init__(self, line: LineConfig) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._socket.bind((line.group, line.port))
        if line.multicast:
            membership = socket.inet_aton(line.group) + socket.inet_aton(line.interface)
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        self._socket.setblocking(False)

    def received(self) -> list[bytes]:
        """Everything that has arrived; on loopback a datagram is there when send() returns."""
        datagrams = []
        while True:
            try:
                datagrams.append(self._socket.recv(65_536))
            except BlockingIOError:
                return datagrams

    def close(self) -> None:
        self._socket.close()
