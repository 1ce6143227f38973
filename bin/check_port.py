"""Ends with 0 when the TCP port can be listened on, with 1 when it is taken: `check_port.py HOST PORT`."""

from __future__ import annotations

import socket
import sys


def is_free(host: str, port: int) -> bool:
    """True when a server could bind the address now; leftovers in TIME_WAIT do not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


if __name__ == "__main__":
    sys.exit(0 if is_free(sys.argv[1], int(sys.argv[2])) else 1)
