"""`bin/bench capture`: the capture loop alone, draining receive buffers that were filled before it starts.

Each round fills the buffers of line A and line B over loopback UDP while nobody reads, then lets the real loop read
them dry: kernel timestamps, blocks, real files, group fdatasync beside it, the publisher's wake-up. So the loop's own
cost is measured, with the sender stopped. Exits with 1 when a datagram was lost, or below the asked rate.
"""

from __future__ import annotations

import argparse
import gc
import platform
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple
from zlib import crc32

from benches.messages import book, short_book, trade
from feeds.capture.loop import CaptureLoop, Syncer
from feeds.capture.receiver import LineReceiver
from feeds.capture.wake import Waker, wake_address
from feeds.config import LineConfig
from feeds.journal import START, JournalReader, JournalWriter
from testbed.ports import free_port

GOAL_PER_S = 250_000
BUFFER_BYTES = 200 << 20
FEED_ID = 7


class Counts(NamedTuple):
    """Datagrams, their bytes and the sum of their CRCs: equal counts mean equal bytes, whatever the order."""

    datagrams: int
    size: int
    crcs: int

    def plus(self, data: bytes) -> Counts:
        return Counts(self.datagrams + 1, self.size + len(data), self.crcs + crc32(data))


class Round(NamedTuple):
    """One fill and drain: datagrams that waited, and the time until the loop had journaled them."""

    datagrams: int
    elapsed_s: float
    cpu_s: float


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 when all was journaled, at the asked rate or above."""
    parser = argparse.ArgumentParser(prog="bin/bench capture", description=__doc__)
    parser.add_argument("--datagrams", type=int, default=600_000, help="in all, over both lines (default 600,000)")
    parser.add_argument("--fill", type=int, default=100_000, help="per fill, over both lines (default 100,000)")
    parser.add_argument("--goal", type=int, default=GOAL_PER_S, help="datagrams/s (default 250,000)")
    options = parser.parse_args(arguments)
    if not 2 <= options.fill <= options.datagrams:
        parser.error("--fill: expected 2 to --datagrams")
    gc.freeze()  # as the worker does
    gc.set_threshold(50_000)
    with tempfile.TemporaryDirectory(prefix="mdds-bench-") as folder:
        return run(Path(folder), datagrams=options.datagrams, fill=options.fill, goal=options.goal)


def run(folder: Path, *, datagrams: int, fill: int, goal: int) -> int:
    """Fill and drain until `datagrams` are through."""
    stand = Stand(folder)
    print(f"{platform.node()}: {datagrams:,} datagrams in fills of {fill:,}, {stand.lines[0].buffer.describe()} a line")
    rounds: list[Round] = []
    try:
        while sum(r.datagrams for r in rounds) < datagrams:
            rounds.append(stand.fill_and_drain(min(fill, datagrams - sum(r.datagrams for r in rounds))))
            print(f"  {_line(rounds[-1])}")
    finally:
        stand.close()
    total = Round(*(sum(column) for column in zip(*rounds, strict=True)))  # type: ignore[arg-type]
    print(f"all: {_line(total)}")
    broken = stand.broken()
    for text in broken:
        print(f"LOST {text}")
    rate = median(r.datagrams / r.elapsed_s for r in rounds)
    if rate < goal:
        print(f"TOO SLOW: {rate:,.0f} datagrams/s in the median round, expected at least {goal:,}")
    return 1 if broken or rate < goal else 0


def _line(done: Round) -> str:
    per_s, us = done.datagrams / done.elapsed_s, 1e6 * done.elapsed_s / done.datagrams
    cpu_us = 1e6 * done.cpu_s / done.datagrams
    return f"{done.datagrams:,} datagrams: {per_s:,.0f}/s, {us:.2f} µs each ({cpu_us:.2f} µs of CPU)"


class Stand:
    """Two open lines, their journal, and the sockets that fill them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lines = [LineConfig(name, "127.0.0.1", free_port()) for name in "AB"]
        self.lines = [LineReceiver(line, index, BUFFER_BYTES) for index, line in enumerate(lines)]
        self.senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in lines]
        for sender, line in zip(self.senders, lines, strict=True):
            sender.connect((line.group, line.port))
        self.address = wake_address(f"bench{lines[0].port}", "capture")
        self.writer = JournalWriter(folder, FEED_ID)
        self.sync_due = threading.Event()
        self.syncer = Syncer([self.writer], self.sync_due)
        self.syncer.start()
        self.messages = [make(n) for n in range(1, 200) for make in (short_book, trade, lambda n: book(3, n))]
        self.sent = Counts(0, 0, 0)

    def fill_and_drain(self, count: int) -> Round:
        """`count` datagrams, half on each line; what a loop needs for them."""
        sends = [sender.send for sender in self.senders]
        for number in range(count):
            data = self.messages[(number >> 1) % len(self.messages)]
            sends[number & 1](data)
            self.sent = self.sent.plus(data)
        waker = Waker(self.address)
        loop = CaptureLoop("bench", lines=self.lines, writer=self.writer, waker=waker, sync_due=self.sync_due)
        loop.stop()  # before the start: the loop reads what waits in the sockets, then ends
        before = self.writer.next_seq
        began, cpu_began = time.perf_counter(), time.process_time()
        loop.start()
        loop.join()
        done = Round(self.writer.next_seq - before, time.perf_counter() - began, time.process_time() - cpu_began)
        loop.lines = ()  # they stay open for the next fill
        loop.close()
        if loop.failure is not None:
            raise loop.failure
        return done

    def close(self) -> None:
        self.syncer.stop()
        self.syncer.join(5.0)
        self.writer.close()
        for sender in self.senders:
            sender.close()
        for line in self.lines:
            line.close()

    def broken(self) -> list[str]:
        """Every equation that does not hold (I1, I3)."""
        journaled = Counts(0, 0, 0)
        reader, position = JournalReader(self.folder), START
        while True:
            blocks, position = reader.read(position)
            if not blocks:
                break
            for block in blocks:
                for _rx_ns, _line, _flags, data in block.entries:
                    journaled = journaled.plus(data)
        reader.close()
        drops = sum(line.drops for line in self.lines)
        received = sum(line.received for line in self.lines)
        print(
            f"sent {self.sent.datagrams:,} = received {received:,} + kernel drops {drops}; "
            f"journaled {journaled.datagrams:,}, {journaled.size:,} bytes"
        )
        equations = (
            ("kernel drops = 0", drops, 0),
            ("sent = received", self.sent.datagrams, received),
            ("datagrams sent = journaled", self.sent.datagrams, journaled.datagrams),
            ("bytes sent = journaled", self.sent.size, journaled.size),
            ("sum of CRCs sent = journaled", self.sent.crcs, journaled.crcs),
        )
        return [f"{text}: {left:,} and {right:,}" for text, left, right in equations if left != right]
