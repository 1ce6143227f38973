"""Wakes the publisher when the journal has grown: one empty datagram to an abstract Unix address.

Only a hint. A lost one costs the publisher's own look every few milliseconds, so nothing waits for it and a full or
missing receiver is no error.
"""

from __future__ import annotations

import contextlib
import socket


def wake_address(prefix: str, feed: str) -> str:
    """An abstract address: no file, gone with its owner, apart for each system on the machine."""
    return f"\0{prefix}.journal.{feed}"


class Waker:
    """The capture's side."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # nobody listens, or its queue is full: it will look by itself
            self._socket.sendto(b"", self._address)

    def close(self) -> None:
        self._socket.close()


class WakeListener:
    """The publisher's side: a socket to watch for reading; `clear` takes the hints out."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        try:
            self.socket.bind(address)
        except OSError as error:
            self.socket.close()
            raise OSError(error.errno, f"another publisher follows this journal ({address[1:]})") from error

    def clear(self) -> None:
        try:
            while True:
                self.socket.recv(1)
        except BlockingIOError:
            pass

    def close(self) -> None:
        self.socket.close()
