"""F03: a new capture takes a journal over under load: no datagram missing in it, none twice, no gap behind it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from feeds.capture import hand_over
from feeds.capture import worker as worker_module
from feeds.capture.hand_over import ASK_NAME, Overlap, is_asked_for, take_over
from feeds.capture.raw_stage import RawStage
from feeds.capture.worker import CaptureWorker, journal_folder
from feeds.config import FeedConfig, LineConfig
from feeds.journal import START, JournalReader, JournalWriter
from feeds.journal.writer import JournalLocked
from testbed.ports import free_port
from tests.feeds.journals import entries_of, read_all
from tests.feeds.wire import trade

GROUPS = ("239.255.78.1", "239.255.78.2")
DATAGRAMS_MAX = 200_000


def multicast_feed() -> FeedConfig:
    lines = tuple(LineConfig(n, g, free_port(), None, "127.0.0.1") for n, g in zip("AB", GROUPS, strict=True))
    return FeedConfig(id=7, name="KRX", exchange="HOSE", markets=("STO",), lines=lines, receive_buffer_bytes=32 << 20)


class Source(threading.Thread):
    """Sends trades 1, 2, … on both lines as fast as `batch` datagrams a millisecond, until it is stopped."""

    def __init__(self, feed: FeedConfig, batch: int = 10) -> None:
        super().__init__(daemon=True)
        self.feed = feed
        self.batch = batch
        self.sent: list[bytes] = []
        self._stop_asked = threading.Event()

    def run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            while not self._stop_asked.wait(0.001) and len(self.sent) < DATAGRAMS_MAX:
                for _ in range(self.batch):
                    data = trade(len(self.sent) + 1)
                    for line in self.feed.lines:
                        sender.sendto(data, (line.group, line.port))
                    self.sent.append(data)

    def stop(self) -> list[bytes]:
        self._stop_asked.set()
        self.join(5)
        return self.sent


@contextmanager
def source(feed: FeedConfig) -> Iterator[Source]:
    running = Source(feed)
    running.start()
    try:
        yield running
    finally:
        running.stop()


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def receiving(worker: CaptureWorker) -> None:
    """Until `worker` has journaled some hundred datagrams of its own."""
    await until(lambda: bool(worker.loops) and sum(line.received for line in worker.loops[0].lines) > 500)


async def test_taken_over_under_load_nothing_is_missing_and_nothing_is_twice(tmp_path: Path) -> None:
    feed = multicast_feed()
    old, *others = [
        CaptureWorker([feed], data_dir=tmp_path, prefix=f"t{feed.lines[0].port}", take_over=n > 0) for n in range(3)
    ]
    stop = asyncio.Event()
    running = [asyncio.create_task(old.run(stop))]
    await until(lambda: bool(old.loops))
    with source(feed) as exchange:
        await receiving(old)
        for new in others:
            running.append(asyncio.create_task(new.run(stop)))
            await asyncio.wait_for(running[-2], 10)  # ends by itself: its only journal was handed over
            await receiving(new)
        sent = exchange.stop()
    stop.set()
    await asyncio.wait_for(running[-1], 10)

    entries = entries_of(journal_folder(tmp_path, "KRX"))
    for line in (0, 1):
        assert [data for _, on, _, data in entries if on == line] == sent
    blocks, _ = read_all(JournalReader(journal_folder(tmp_path, "KRX")), START)
    ends = [block.first_seq + len(block.entries) for block in blocks]
    assert [block.first_seq for block in blocks] == [1, *ends[:-1]], "capture_seq goes on through each hand-over"
    stage = RawStage(feed, "live", publisher="p")
    for block in blocks:
        stage.push(block)
    assert (stage.arbiter.unique, stage.arbiter.gaps, stage.arbiter.missing) == (len(sent), 0, 0)


async def test_a_take_over_of_a_journal_that_nobody_writes_is_a_start(tmp_path: Path) -> None:
    feed = multicast_feed()
    worker = CaptureWorker([feed], data_dir=tmp_path, prefix=f"t{feed.lines[0].port}", take_over=True)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    await until(lambda: bool(worker.loops))
    with source(feed) as exchange:
        await until(lambda: worker.loops[0].writer.next_seq > 100)
        sent = exchange.stop()
    stop.set()
    await running
    entries = entries_of(journal_folder(tmp_path, "KRX"))
    assert [data for _, line, _, data in entries if line == 0] == sent[-len(entries) // 2 :]
    assert not (journal_folder(tmp_path, "KRX") / ASK_NAME).exists()


def test_a_capture_that_does_not_answer_keeps_its_journal(tmp_path: Path) -> None:
    owner = JournalWriter(tmp_path, 7)
    with pytest.raises(JournalLocked, match="another capture writes"):
        take_over(tmp_path, 7, wait_s=0.05)
    assert not (tmp_path / ASK_NAME).exists()
    owner.close()


def test_the_old_capture_looks_while_the_new_one_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making of the request and its lock: it looks like that of one that died, and is removed."""
    owner, real, looked = JournalWriter(tmp_path, 7), hand_over._has_lock, []

    def has_lock(fd: int) -> bool:
        if not looked:
            looked.append(fd)
            assert not is_asked_for(tmp_path)
        return real(fd)

    monkeypatch.setattr(hand_over, "_has_lock", has_lock)
    asked = threading.Event()

    def let_go() -> None:
        deadline = time.monotonic() + 5
        while not (looked and is_asked_for(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.005)
        asked.set()
        owner.close()

    watcher = threading.Thread(target=let_go)
    watcher.start()
    began_s = time.monotonic()
    take_over(tmp_path, 7).close()
    watcher.join()
    assert asked.is_set()
    assert time.monotonic() - began_s < 4
    assert not (tmp_path / ASK_NAME).exists()


def test_a_look_that_holds_the_lock_for_a_moment_is_no_other_asker(tmp_path: Path) -> None:
    owner = JournalWriter(tmp_path, 7)
    fd = os.open(tmp_path / ASK_NAME, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    threading.Timer(0.05, os.close, [fd]).start()
    threading.Timer(0.2, owner.close).start()
    take_over(tmp_path, 7, wait_s=5).close()


async def test_a_capture_that_gets_no_journal_leaves_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = multicast_feed()
    owner = JournalWriter(journal_folder(tmp_path, "KRX"), 7)
    monkeypatch.setattr(worker_module, "take_over", partial(take_over, wait_s=0.05))
    worker = CaptureWorker([feed], data_dir=tmp_path, prefix=f"t{feed.lines[0].port}", take_over=True)
    with pytest.raises(JournalLocked):
        await worker.run(asyncio.Event())
    owner.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind((GROUPS[0], feed.lines[0].port))  # without SO_REUSEADDR: nobody else has it


def test_only_a_living_asker_is_heard(tmp_path: Path) -> None:
    assert not is_asked_for(tmp_path)
    fd = os.open(tmp_path / ASK_NAME, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert is_asked_for(tmp_path)
    owner = JournalWriter(tmp_path, 7)
    with pytest.raises(JournalLocked, match="is taking this journal over"):
        take_over(tmp_path, 7, wait_s=1)
    owner.close()
    os.close(fd)  # what the death of the asker does
    assert not is_asked_for(tmp_path)
    assert not (tmp_path / ASK_NAME).exists()


def test_copies_are_told_by_line_time_and_bytes(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, 7)
    first = 1_795_140_900_000_000_000
    writer.append([(first - 5, 0, 0, b"before"), (first, 0, 0, b"x"), (first, 1, 0, b"x"), (first + 1, 0, 0, b"y")])
    writer.close()
    overlap = Overlap(tmp_path, first)
    copies = [
        (first, 0, 0, b"x"),
        (first, 0, 0, b"x"),
        (first, 1, 0, b"y"),
        (first + 1, 0, 0, b"y"),
        (first, 1, 0, b"x"),
    ]
    assert overlap.new(copies) == [(first, 0, 0, b"x"), (first, 1, 0, b"y")]
    assert (overlap.dropped, overlap.last_ns) == (3, [first + 1, first])
