"""Watches a burst pass: what is journaled, confirmed and parsed, and the memory of each process, once a second."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

CHART_ROWS_MAX = 24
CHART_WIDTH = 56
MIB = 1 << 20


class Sample(NamedTuple):
    """Messages that had reached each stage `at_s` after the first datagram; resident memory by process."""

    at_s: float
    journaled: int
    confirmed: int
    parsed: int

    @property
    def backlog(self) -> int:
        """Messages journaled (on both lines) and not yet parsed."""
        return max(0, self.journaled - self.parsed)


class Watch:
    """Reads the workers' heartbeat rows where they are; a system that is busy is not asked for anything more."""

    def __init__(self, database: Path, feed: str, processes: Mapping[str, psutil.Process]) -> None:
        self.feed = feed
        self.processes = processes
        self.samples: list[Sample] = []
        self.before = {name: _rss(process) for name, process in processes.items()}
        self.peak = dict(self.before)
        self.after = dict(self.before)
        self.began = 0.0
        self.drained_at = 0.0
        self._database = sqlite3.connect(f"file:{database}?mode=ro", uri=True)

    def close(self) -> None:
        self._database.close()

    def heartbeats(self) -> dict[str, dict[str, Any]]:
        """The workers' last figures by kind; none while the database is busy."""
        with contextlib.suppress(sqlite3.OperationalError):
            rows = self._database.execute("SELECT kind, stats FROM feeds_workerheartbeat")
            return {kind: json.loads(stats) for kind, stats in rows}
        return {}

    def look(self) -> None:
        """One sample; nothing before the first datagram."""
        now = time.monotonic()
        for name, process in self.processes.items():
            self.after[name] = _rss(process)
            self.peak[name] = max(self.peak[name], self.after[name])
        beats = self.heartbeats()
        if not {"capture", "publisher", "parser"} <= beats.keys():
            return
        journaled = beats["capture"]["journaled"][self.feed]
        if not journaled:
            return
        self.began = self.began or now
        parser = beats["parser"]
        parsed = sum(parser["parsed"].values()) + parser["dead"] + parser["unrouted"]
        sample = Sample(now - self.began, journaled // 2, beats["publisher"]["confirmed"], parsed)
        if not self.samples or sample[1:] != self.samples[-1][1:]:
            self.samples.append(sample)
            self.drained_at = now

    def drained(self, datagrams: int) -> bool:
        """Whether all of so many datagrams are journaled and parsed."""
        last = self.samples[-1] if self.samples else Sample(0, 0, 0, 0)
        return 2 * last.journaled >= datagrams and not last.backlog

    @property
    def drained_s(self) -> float:
        return self.drained_at - self.began

    def memory_lines(self) -> list[str]:
        """Resident memory of each process before, at its peak, and after."""
        return [
            f"memory {name:10} before {self.before[name] / MIB:6.1f} MiB, peak {self.peak[name] / MIB:6.1f}, "
            f"after {self.after[name] / MIB:6.1f}"
            for name in self.processes
        ]

    def grown(self, most: int) -> list[str]:
        """Processes whose peak was more than `most` bytes above what they had before."""
        return [
            f"memory of {name} grew by {(self.peak[name] - self.before[name]) / MIB:.1f} MiB, at most {most / MIB:.0f}"
            for name in self.processes
            if self.peak[name] - self.before[name] > most
        ]


def chart(samples: Sequence[Sample]) -> str:
    """The backlog over time, a row a sample (every k-th where there are many)."""
    step = -(-len(samples) // CHART_ROWS_MAX) or 1
    shown = list(samples[::step])
    if samples and shown[-1] != samples[-1]:
        shown.append(samples[-1])
    most = max([sample.backlog for sample in samples], default=0) or 1
    rows = ["    time   backlog (messages journaled and not yet parsed)"]
    for sample in shown:
        bar = "#" * round(sample.backlog / most * CHART_WIDTH)
        rows.append(f"{sample.at_s:6.1f} s {sample.backlog:9,} {bar}")
    return "\n".join(rows)


def _rss(process: psutil.Process) -> int:
    try:
        rss: int = process.memory_info().rss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
    return rss
