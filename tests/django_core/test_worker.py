"""The worker runner as a process: signals, failures, the stop's time limit, heartbeats and the metrics port."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    env = os.environ | {"MDDS_DATA": str(data)}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True, timeout=60)
    return data


class Run:
    def __init__(self, data: Path, *arguments: str) -> None:
        self.data = data
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.django_core.worker_process", *arguments],
            cwd=ROOT,
            env=os.environ | {"MDDS_DATA": str(data), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def started(self, count: int) -> None:
        assert self.process.stdout is not None
        for _ in range(count):
            assert "started" in self.process.stdout.readline(), self.process.stderr and self.process.stderr.read()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Seconds until the end."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(20)
        return time.monotonic() - began

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


@pytest.fixture
def start(data_dir: Path) -> Iterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(*arguments: str, data: Path | None = None) -> Run:
        runs.append(Run(data or data_dir, *arguments))
        return runs[-1]

    yield begin
    for run in runs:
        run.process.kill()
        run.process.communicate()


def rows(data: Path) -> dict[str, tuple[int, str, str, str | None]]:
    with sqlite3.connect(data / "mdds.sqlite3") as database:
        found = database.execute("SELECT kind, pid, stats, seen_at, stopped_at FROM feeds_workerheartbeat").fetchall()
    database.close()
    return {kind: (pid, stats, seen_at, stopped_at) for kind, pid, stats, seen_at, stopped_at in found}


def eventually(true: Callable[[], bool], within_s: float = 6.0) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_workers_in_good_order(start: Callable[..., Run], number: signal.Signals) -> None:
    run = start("0", "good", "other")
    run.started(2)
    assert run.stop(number) < 2
    code, out, err = run.ended()
    assert (code, sorted(out.split("\n"))) == (0, ["", "all ended", "good ended", "other ended"])
    assert err == ""


def test_each_worker_has_a_row_a_second_and_is_marked_stopped(start: Callable[..., Run], data_dir: Path) -> None:
    run = start("0", "good", "bad-stats")
    run.started(2)
    eventually(lambda: rows(data_dir).get("good", (0,))[0] == run.process.pid)
    first = rows(data_dir)["good"]
    eventually(lambda: rows(data_dir)["good"][2] > first[2])
    assert rows(data_dir)["good"][1] != first[1]
    assert rows(data_dir)["good"][3] is None
    assert "no numbers" in rows(data_dir)["bad-stats"][1]
    run.stop()
    assert rows(data_dir)["good"][3] is not None


def test_a_worker_that_raises_ends_all_with_a_clear_message(start: Callable[..., Run], data_dir: Path) -> None:
    code, out, err = start("0", "good", "fails").ended()
    assert code == 1
    assert "good ended" in out
    assert "error: worker fails fails-1 failed: RuntimeError: the disk is gone" in err.splitlines()
    assert rows(data_dir)["good"][3] is None, "after a failure the rows go stale, so that health sees it"


def test_a_worker_may_end_by_itself_and_the_others_go_on(start: Callable[..., Run]) -> None:
    run = start("0", "brief", "good")
    run.started(2)
    time.sleep(0.3)
    assert run.process.poll() is None
    run.stop()
    assert start("0", "brief").ended() == (0, "brief started\nall ended\n", "")


def test_a_stubborn_worker_is_cancelled_after_four_seconds(start: Callable[..., Run]) -> None:
    run = start("0", "stubborn", "good")
    run.started(2)
    assert 3.8 < run.stop() < 5
    code, out, err = run.ended()
    assert (code, "stubborn ended" in out) == (0, True)
    assert "worker stubborn-1 did not stop within 4 s: cancelled" in err


def test_a_thread_that_hangs_does_not_hold_the_process(start: Callable[..., Run]) -> None:
    run = start("0", "thread")
    run.started(1)
    assert run.stop() < 5.3
    code, _, err = run.ended()
    assert code == 1
    assert "not stopped within 4.8 s, ended" in err


def test_a_database_without_tables_is_logged_once_and_not_fatal(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start("0", "good", data=tmp_path)
    run.started(1)
    time.sleep(2.5)
    run.stop()
    code, _, err = run.ended()
    assert code == 0
    assert err.count("heartbeats cannot be written") == 1


def test_the_metrics_port_serves_and_a_busy_one_is_named(start: Callable[..., Run]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run = start(str(port), "good")
    run.started(1)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert b"process_cpu_seconds_total" in answer.read()
    code, out, err = start(str(port), "good").ended()
    assert (code, out) == (1, "")
    assert f"metrics port 127.0.0.1:{port} is in use by another process" in err
