"""Makes the bus a URL names: `memory://` or `amqp://user:password@host:port/vhost`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from feeds.bus.amqp import AmqpBus
from feeds.bus.base import Bus
from feeds.bus.memory import MemoryBus


def open_bus(url: str, *, prefix: str, data_dir: Path, partitions: int) -> Bus:
    """The bus, not yet opened (`await bus.open()` in its loop). Raises ValueError for another scheme."""
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        return MemoryBus(data_dir, partitions)
    if scheme in ("amqp", "amqps"):
        return AmqpBus(url, prefix, partitions)
    raise ValueError(f"bus URL {url!r}: scheme {scheme!r}, expected memory, amqp or amqps")
