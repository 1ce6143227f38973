"""Ends with 0 when this machine passes multicast on loopback, with 1 when it does not: `check_multicast.py PORT`.

Sends one datagram to a group on 127.0.0.1 and waits for it, the way the demo's lines do. A system call that is refused
(no multicast in the kernel, a container without it) counts as no.
"""

from __future__ import annotations

import os
import socket
import sys

LOOPBACK = "127.0.0.1"
WAIT_S = 0.5


def passes(group: str) -> bool:
    """True when a datagram sent to the group on loopback comes back."""
    word = os.urandom(16)
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        ):
            receiver.bind((group, 0))
            receiver.settimeout(WAIT_S)
            membership = socket.inet_aton(group) + socket.inet_aton(LOOPBACK)
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            sender.sendto(word, (group, receiver.getsockname()[1]))
            return receiver.recv(64) == word
    except OSError:
        return False


if __name__ == "__main__":
    base = int(sys.argv[1])
    sys.exit(0 if passes(f"239.253.{base >> 8}.{base & 255}") else 1)
