"""`bin/run` alone leads to a streaming client, and leaves nothing behind when it is interrupted."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from testbed.ports import free_base_port

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("login", "key", "try", "portal", "stream")
READY_S_MAX = 60.0
END_S_MAX = 5.0


@dataclass
class Running:
    """A system that `bin/run` started, with the lines it printed."""

    process: subprocess.Popen[str]
    printed: dict[str, list[str]]
    port: int
    data: Path

    def line(self, label: str) -> str:
        return self.printed[label][0]

    def interrupt(self) -> float:
        """Ctrl-C; returns how many seconds the end took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(END_S_MAX * 3)
        return time.monotonic() - started


def start(*options: str, port: int, data: Path, log: Path) -> Running:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MDDS_", "DJANGO_"))}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [str(ROOT / "bin" / "run"), "--port", str(port), "--data", str(data), *options],
            cwd=log.parent,  # any folder will do
            env=kept,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    printed: dict[str, list[str]] = {label: [] for label in LABELS}
    assert process.stdout is not None
    deadline = time.monotonic() + READY_S_MAX
    while not all(printed.values()) and time.monotonic() < deadline:
        line = process.stdout.readline()
        if not line:
            break
        label, _, rest = line.rstrip("\n").partition(": ")
        if label in printed:
            printed[label].append(rest)
    if not all(printed.values()):
        end(process)
        pytest.fail(f"bin/run printed {printed}\n{log.read_text()[-4000:]}")
    return Running(process, printed, port, data)


def end(process: subprocess.Popen[str]) -> None:
    """Whatever happened, nothing of the session survives the test."""
    for other in psutil.process_iter():
        try:
            if os.getsid(other.pid) == process.pid:
                other.kill()
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    process.wait(10)
    if process.stdout is not None:
        process.stdout.close()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("run")
    running = start("--rate", "300", port=free_base_port(), data=folder / "data", log=folder / "errors.log")
    yield running
    end(running.process)


def left_over(session: int) -> list[str]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.info["cmdline"]))
        except ProcessLookupError:
            continue
    return found


def test_the_pasted_line_streams_quotes_and_trades(system: Running, tmp_path: Path) -> None:
    command = f"{system.line('try')} --json --count 40 --seconds 20"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""  # on fresh data too: no symbol is unknown, nothing is refused
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == 40, done.stderr
    assert {record["ch"] for record in records} == {"trade", "depth"}
    assert {record["s"] for record in records} == {"FPT", "VNM"}


def test_each_line_is_printed_once_in_its_form(system: Running) -> None:
    assert {label: len(lines) for label, lines in system.printed.items()} == dict.fromkeys(LABELS, 1)
    assert system.line("portal") == f"http://127.0.0.1:{system.port}/portal/"
    assert system.line("stream") == f"ws://127.0.0.1:{system.port}/stream/v1"
    assert re.fullmatch(r"\S+ \S{8,}", system.line("login"))
    assert re.fullmatch(r"mdds_live_[0-9A-Za-z]{8}_\S{49}", system.line("key"))
    assert f"MDDS_API_KEY={system.line('key')} MDDS_URL={system.line('stream')} " in system.line("try")


def test_the_portal_answers(system: Running) -> None:
    with urllib.request.urlopen(system.line("portal"), timeout=5) as answer:
        assert (answer.status, answer.url.partition("?")[0]) == (200, f"{system.line('portal')}login/")
    with urllib.request.urlopen(f"http://127.0.0.1:{system.port}/health/live", timeout=5) as answer:
        assert json.load(answer) == {"status": "live"}


def test_a_second_start_on_the_port_is_refused(system: Running, tmp_path: Path) -> None:
    command = [str(ROOT / "bin" / "run"), "--port", str(system.port), "--data", str(tmp_path / "other")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"port {system.port} on 127.0.0.1 is in use" in done.stderr


def test_interrupt_ends_it_with_nothing_left(system: Running) -> None:
    took = system.interrupt()
    assert took < END_S_MAX
    assert left_over(system.process.pid) == []


def test_without_simulator_and_again_on_the_same_data(system: Running, tmp_path: Path) -> None:
    assert system.process.poll() is not None, "the test before ends it"
    running = start("--no-simulator", port=system.port, data=system.data, log=tmp_path / "errors.log")
    try:
        assert running.line("login") == system.line("login")
        assert running.line("key") == system.line("key")
        assert running.interrupt() < END_S_MAX
    finally:
        end(running.process)
