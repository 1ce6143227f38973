"""A thread's busy time: its CPU time, and its wait for a processor."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from subscriptions.gateway.thread_busy import SCHEDSTAT, ThreadBusy


def test_work_is_busy_and_sleep_is_not() -> None:
    busy = ThreadBusy()
    began_s, worked_s = busy.seconds(), time.thread_time()
    while time.thread_time() - worked_s < 0.05:
        pass
    worked = busy.seconds() - began_s
    began_s = busy.seconds()
    time.sleep(0.2)
    slept = busy.seconds() - began_s
    busy.close()
    assert worked >= 0.05
    assert slept < 0.15, "the wait behind others may be in it, the sleep is not"


@pytest.mark.skipif(not Path(SCHEDSTAT).exists(), reason="Linux counts the wait")
def test_the_wait_for_a_processor_is_busy_too() -> None:
    """One processor for two that calculate: each has a half of it, and both are busy all the time."""
    (cpu, *_), all_cpus = sorted(os.sched_getaffinity(0)), os.sched_getaffinity(0)
    code = f"import os\nos.sched_setaffinity(0, [{cpu}])\nprint(flush=True)\nwhile True: pass"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        other.stdout.readline()
        os.sched_setaffinity(0, [cpu])
        busy = ThreadBusy()
        began_s, busy_s, cpu_s = time.monotonic(), busy.seconds(), time.thread_time()
        while time.monotonic() - began_s < 1.0:
            pass
        wall_s, busy_s, cpu_s = time.monotonic() - began_s, busy.seconds() - busy_s, time.thread_time() - cpu_s
        busy.close()
    finally:
        os.sched_setaffinity(0, all_cpus)
        other.kill()
        other.communicate()
    assert cpu_s < 0.75 * wall_s
    assert busy_s > 0.9 * wall_s


@pytest.mark.parametrize("text", [None, "", "0", "no numbers here"])
def test_a_system_that_does_not_count_the_wait(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "schedstat"
    if text is not None:
        path.write_text(text)
    busy = ThreadBusy(str(path))
    assert busy.seconds() == pytest.approx(time.thread_time(), abs=0.05)
    assert busy.seconds() == pytest.approx(time.thread_time(), abs=0.05)
    busy.close()
    busy.close()
