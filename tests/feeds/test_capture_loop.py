"""From real datagrams on both lines to the journal: every byte, every line, every time, through a refusing disk too."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from feeds.blocks import Entry
from feeds.capture.loop import CaptureLoop, Syncer
from feeds.capture.receiver import LineReceiver
from feeds.capture.wake import WakeListener, Waker, wake_address
from feeds.config import LineConfig
from feeds.journal import JournalWriteError, JournalWriter, Position
from testbed.ports import free_port
from tests.feeds.journals import entries_of
from tests.feeds.wire import trade


class Stand:
    """A capture of two unicast lines into `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = (free_port(), free_port())
        lines = [LineConfig(name, "127.0.0.1", port) for name, port in zip("AB", self.ports, strict=True)]
        self.writer = JournalWriter(folder, 7)
        self.address = wake_address(f"test{self.ports[0]}", "KRX")
        self.sync_due = threading.Event()
        self.loop = CaptureLoop(
            "KRX",
            lines=[LineReceiver(line, index, 1 << 20) for index, line in enumerate(lines)],
            writer=self.writer,
            waker=Waker(self.address),
            sync_due=self.sync_due,
        )

    def send(self, line: int, *datagrams: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for data in datagrams:
                sender.sendto(data, ("127.0.0.1", self.ports[line]))

    def end(self) -> list[Entry]:
        """Stop in good order; what the journal holds."""
        self.loop.stop()
        self.loop.join(5)
        assert not self.loop.is_alive()
        self.writer.close()
        self.loop.close()
        return entries_of(self.folder)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_journal_of_what_was_sent(tmp_path: Path) -> None:
    """I3: bytes equal, order kept per line, times within the test."""
    stand = Stand(tmp_path)
    began = time.time_ns()
    stand.loop.start()
    sent = [trade(n) for n in range(1, 400)]
    for start in range(0, len(sent), 40):
        stand.send(0, *sent[start : start + 40])
        stand.send(1, *sent[start : start + 40])
    until(lambda: stand.writer.next_seq == 799)
    entries = stand.end()
    for line in (0, 1):
        assert [data for _, on, _, data in entries if on == line] == sent
        times = [rx_ns for rx_ns, on, _, _ in entries if on == line]
        assert times == sorted(times)
        assert began <= times[0]
        assert times[-1] <= time.time_ns()


def test_what_waits_in_the_sockets_at_the_stop_is_read(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    stand.send(0, b"before the start")
    stand.send(1, b"before the start")
    stand.loop.start()
    assert [(line, data) for _, line, _, data in stand.end()] == [(0, b"before the start"), (1, b"before the start")]


def test_the_publisher_is_woken(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    listener = WakeListener(stand.address)
    with pytest.raises(OSError, match="another publisher"):
        WakeListener(stand.address)
    listener.socket.settimeout(5)
    stand.loop.start()
    stand.send(0, b"x")
    assert listener.socket.recv(1) == b""
    listener.close()
    stand.send(0, b"nobody listens")
    assert len(stand.end()) == 2


def test_a_disk_that_refuses_is_tried_again_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F12: meanwhile the kernel's buffer holds what comes."""
    monkeypatch.setattr("feeds.capture.loop.WRITE_RETRY_S", 0.02)
    stand = Stand(tmp_path)
    real, refusals = stand.writer.append, [3]

    def append(entries: list[Entry]) -> Position:
        if refusals[0]:
            refusals[0] -= 1
            raise JournalWriteError(errno.ENOSPC, "No space left on device")
        return real(entries)

    stand.writer.append = append  # type: ignore[method-assign,assignment]
    stand.loop.start()
    for n in range(50):
        stand.send(n % 2, b"%d" % n)
    until(lambda: stand.writer.next_seq == 51)
    entries = stand.end()
    assert sorted(int(data) for *_, data in entries) == list(range(50))
    assert stand.loop.write_failures == 3


def test_a_failure_of_the_loop_is_kept_for_its_worker(tmp_path: Path) -> None:
    stand = Stand(tmp_path)

    def broken(_entries: list[Entry]) -> Position:
        raise RuntimeError("broken")

    stand.writer.append = broken  # type: ignore[method-assign,assignment]
    stand.loop.start()
    stand.send(0, b"x")
    until(lambda: stand.loop.failure is not None)
    assert (str(stand.loop.failure), stand.end()) == ("broken", [])


def test_group_sync(tmp_path: Path) -> None:
    """Within 20 ms what was written is synced; a failing disk is counted, not fatal."""
    stand = Stand(tmp_path)
    syncer = Syncer([stand.writer], stand.sync_due)
    syncer.start()
    stand.loop.start()
    stand.send(0, b"x" * 1_000)
    until(lambda: stand.writer.written_bytes > 0 and stand.writer.unsynced_bytes == 0)
    syncer.stop()
    syncer.join(2)
    assert (syncer.is_alive(), syncer.failures, len(stand.end())) == (False, 0, 1)
