"""What a capture is promised: processors, priority, and a receive buffer whose stall is known."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from feeds.capture.budget import ReceiveBuffer, buffer_bytes
from feeds.capture.tuning import Tuning, tune


@pytest.fixture
def thread() -> Iterator[threading.Thread]:
    """One that runs until the test ends."""
    ended = threading.Event()
    running = threading.Thread(target=ended.wait, args=(30,), name="capture KRX", daemon=True)
    running.start()
    yield running
    ended.set()
    running.join(5)


def test_only_the_thread_is_pinned(thread: threading.Thread) -> None:
    assert thread.native_id is not None
    ours = os.sched_getaffinity(0)
    cpu = max(ours)
    assert tune([thread], Tuning(cpus=(cpu,))) == []
    assert (os.sched_getaffinity(thread.native_id), os.sched_getaffinity(0)) == ({cpu}, ours)


def test_a_processor_that_is_not_there_is_said_and_the_thread_runs_on(thread: threading.Thread) -> None:
    (text,) = tune([thread], Tuning(cpus=(4_000,)))
    assert text.startswith("capture KRX: not on processors 4000: ")
    assert thread.is_alive()


def test_priority_or_why_not(thread: threading.Thread) -> None:
    assert thread.native_id is not None
    refused = tune([thread], Tuning(priority=1))
    if refused:
        assert refused[0].endswith("CAP_SYS_NICE")
        assert os.sched_getscheduler(thread.native_id) == os.SCHED_OTHER
    else:
        assert os.sched_getscheduler(thread.native_id) == os.SCHED_FIFO
        assert os.sched_getparam(thread.native_id).sched_priority == 1
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_nothing_asked_nothing_done(thread: threading.Thread) -> None:
    assert tune([thread], Tuning()) == []


def test_the_budget_is_rate_times_stall_times_truesize() -> None:
    assert buffer_bytes(1.0) == 30_000 * 2_304
    asked = 200 << 20
    got = ReceiveBuffer(asked, 2 * asked)  # Linux doubles
    assert got.datagrams == 2 * asked // 2_304
    assert got.stall_s() == pytest.approx(6.07, abs=0.01)
    assert got.stall_s(60_000) == pytest.approx(3.03, abs=0.01)
    assert got.describe() == "receive buffer 409,600 KiB (182,044 datagrams of 2,304 bytes, 6.1 s at 30,000/s)"
