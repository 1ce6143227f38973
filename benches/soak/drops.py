"""Reads from /proc/net/udp what the kernel dropped at the sockets of some ports (I1)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

TABLE = Path("/proc/net/udp")
PORT_AT, DROPS_AT = 1, 12


def drops_at(ports: Sequence[int], table: Path = TABLE) -> list[int]:
    """Datagrams dropped by the sockets that are open now, by port; 0 where none is."""
    dropped = dict.fromkeys(ports, 0)
    for row in table.read_text().splitlines()[1:]:
        columns = row.split()
        port = int(columns[PORT_AT].rpartition(":")[2], 16)
        if port in dropped:
            dropped[port] += int(columns[DROPS_AT])
    return [dropped[port] for port in ports]
