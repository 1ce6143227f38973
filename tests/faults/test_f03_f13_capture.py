"""F03 and F13: a capture takes another one's journal over under load; a disk that refuses or takes half a block."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from feeds.journal import writer as writer_module
from testbed.evidence import violations
from testbed.in_process import InProcessPath

RECEIVED_EACH = 300


async def test_f03_hot_restart_with_overlap(tmp_path: Path, seed: int) -> None:
    """Two hand-overs while the exchange sends: every datagram is in the journal once, no gap, nothing twice."""
    async with InProcessPath(tmp_path / "run", seed=seed, multicast=True) as path:
        path.start("publisher", "parser", "capture")
        await path.listening("capture")
        ending = asyncio.Event()
        exchange = asyncio.create_task(send_until(path, ending))
        before = "capture"
        for name in ("capture-2", "capture-3"):
            await path.received(before, RECEIVED_EACH)
            path.start(name, take_over=True)
            await path.ended(before)  # by itself: its only journal was handed over
            before = name
        await path.received(before, RECEIVED_EACH)
        ending.set()
        await exchange
        found = await path.settle()
    assert violations(path, found) == []
    assert found.publisher["missing"] == 0
    assert len(found.journal) == 2 * len(found.truth)


async def send_until(path: InProcessPath, ending: asyncio.Event) -> None:
    while not ending.is_set():
        path.send(path.make(5))
        await asyncio.sleep(0.002)


class Disk:
    """`os.write` that fails at call `n`, and at call `n` + 2 takes a part of what it is given and fails then."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.calls = 0
        self.failed: list[str] = []
        self._write = os.write

    def write(self, fd: int, data: memoryview) -> int:
        self.calls += 1
        if self.calls in (self.n, self.n + 3):
            self.failed.append("refused" if self.calls == self.n else "half")
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.calls == self.n + 2:
            return self._write(fd, data[: len(data) // 2])
        return self._write(fd, data)


@pytest.mark.parametrize("n", [1, 2, 5])
async def test_f13_write_error_at_call_n(tmp_path: Path, seed: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Meanwhile the sockets hold what comes. Of a block that was written in part nothing stays in the journal."""
    disk = Disk(n)
    monkeypatch.setattr("feeds.capture.loop.WRITE_RETRY_S", 0.02)
    monkeypatch.setattr(writer_module, "os", FaultyOs(disk))
    async with InProcessPath(tmp_path / "run", seed=seed) as path:
        path.start("publisher", "parser", "capture")
        await path.listening("capture")
        for _ in range(12):
            path.send(path.make(25))
            await asyncio.sleep(0.005)
        await path.received("capture", 600)
        found = await path.settle()
    assert disk.failed == ["refused", "half"]
    assert violations(path, found) == []
    assert found.publisher["missing"] == 0


class FaultyOs:
    """The module `os` with another `write`, for the journal's writer alone."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def __getattr__(self, name: str) -> object:
        return self._disk.write if name == "write" else getattr(os, name)
