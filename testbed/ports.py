"""Picks loopback ports that nobody holds, outside the range the kernel hands out for outgoing connections."""

from __future__ import annotations

import atexit
import os
import random
import socket
from collections import OrderedDict
from collections.abc import Iterable

# Linux gives outgoing connections ports from 32768 up. A server that is stopped and started again must find its port
# free in between, so ours come from below.
PORT_MIN = 10_000
PORT_MAX = 31_999
ATTEMPTS_MAX = 200

# What one system takes above its base port (ARCHITECTURE.md): HTTP, gateway, metrics per kind, UDP lines.
SYSTEM_OFFSETS = (*range(8), *range(20, 40), *range(100, 116))
BLOCK = 200

# Between our look and the server's bind lie seconds, in which another run of the tests may look as well. So a block of
# ports is claimed by a name in the kernel that goes with us; the oldest claim is given up for the one above the bound.
CLAIMS_MAX = 16
_claims: OrderedDict[int, tuple[int, socket.socket]] = OrderedDict()  # by block: who claimed it, and the name


class NoFreePort(RuntimeError):
    """No free port was found within `ATTEMPTS_MAX` attempts."""


def is_free(port: int) -> bool:
    """True when both the TCP and the UDP port can be bound on loopback now."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def free_port() -> int:
    """One free port."""
    return _free_span((0,), step=1)


def free_base_port() -> int:
    """A base port for one system under test (`MDDS_PORT`): all the ports it derives from it are free."""
    return _free_span(SYSTEM_OFFSETS, step=BLOCK)


def claim(port: int) -> bool:
    """True when the block that `port` is in is ours: no other process of this machine gets a port of it from here."""
    block, pid = port // BLOCK, os.getpid()
    held = _claims.get(block)
    if held is not None and held[0] == pid:  # a fork inherits the claims, not the right to them
        _claims.move_to_end(block)
        return True
    name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        name.bind(f"\0mdds-ports-{block}")
    except OSError:
        name.close()
        return False
    _claims[block] = (pid, name)
    while len(_claims) > CLAIMS_MAX:
        _claims.popitem(last=False)[1][1].close()
    return True


@atexit.register
def _give_up_claims() -> None:
    while _claims:
        _claims.popitem()[1][1].close()


def _free_span(offsets: Iterable[int], *, step: int) -> int:
    wanted = tuple(offsets)
    for _ in range(ATTEMPTS_MAX):
        base = random.randrange(PORT_MIN, PORT_MAX - max(wanted), step)
        if claim(base) and all(is_free(base + offset) for offset in wanted):
            return base
    raise NoFreePort(f"no free port between {PORT_MIN} and {PORT_MAX} in {ATTEMPTS_MAX} attempts")
