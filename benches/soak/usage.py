"""Looks at the memory and descriptors of every process while the soak runs (I11)."""

from __future__ import annotations

import time
from collections.abc import Mapping

import psutil

from testbed.invariants.bounds import Usage, usage_is_bounded

WARM_S = 30.0
GROWTH_BYTES_MAX = 300 << 20  # buffers that fill up to their bounds: outboxes of 64 MiB, histories, caches
DESCRIPTORS_MAX = 50
LOOKS_MAX = 2_000  # of one process; past it every second one is forgotten


class Watch:
    """By (name, pid): a process that was killed and started again is another one."""

    def __init__(self) -> None:
        self.looks: dict[tuple[str, int], list[Usage]] = {}

    def look(self, processes: Mapping[str, int]) -> int:
        """Take one look at each; returns the bytes of all."""
        total = 0
        for name, pid in processes.items():
            try:
                process = psutil.Process(pid)
                usage = Usage(time.monotonic(), process.memory_info().rss, process.num_fds())
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            total += usage.rss_bytes
            looks = self.looks.setdefault((name, pid), [])
            looks.append(usage)
            if len(looks) > LOOKS_MAX:
                del looks[1::2]
        return total

    def violations(self) -> list[str]:
        found = []
        for (name, _pid), looks in self.looks.items():
            if name not in (
                "rabbitmq",
                "exchange",
                "relay",
            ):  # the broker's bounds are its queues'; the others are ours
                found += usage_is_bounded(
                    name, looks, growth_bytes_max=GROWTH_BYTES_MAX, descriptors_max=DESCRIPTORS_MAX, warm_s=WARM_S
                )
        return found

    def highest(self) -> dict[str, int]:
        """MiB at most, by name."""
        most: dict[str, int] = {}
        for (name, _), looks in self.looks.items():
            most[name] = max(most.get(name, 0), max(look.rss_bytes for look in looks) >> 20)
        return most
