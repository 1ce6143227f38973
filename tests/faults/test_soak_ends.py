"""How bin/soak ends: interrupted, after a violation, after a recording; nothing of it is left whatever the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from testbed.system import ROOT

LINES_S_MAX = 240.0
END_S_MAX = 90.0
RECORDING = ROOT.parent / "shared" / "data" / "recorded_session.cap"

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(400)]


class Soak:
    """One bin/soak with its output."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benches.soak", *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.text = ""
        self.seen: dict[int, psutil.Process] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line

    def children(self) -> list[psutil.Process]:
        found = psutil.Process(self.process.pid).children(recursive=True)
        self.seen.update({child.pid: child for child in found})
        return found

    def until(self, pattern: str) -> None:
        """Until the output has it."""
        deadline = time.monotonic() + LINES_S_MAX
        while not re.search(pattern, self.text):
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            self.children()
            time.sleep(0.2)

    def worker(self, command: str) -> psutil.Process:
        return next(child for child in self.children() if command in child.cmdline())

    def end(self) -> int:
        code = self.process.wait(END_S_MAX)
        self._reader.join(10)
        return code

    def left(self) -> list[psutil.Process]:
        """Processes of it that are still there, a moment after its end."""
        _, alive = psutil.wait_procs(list(self.seen.values()), timeout=10)
        return alive


@contextmanager
def soaking(*arguments: str) -> Iterator[Soak]:
    soak = Soak(*arguments)
    try:
        yield soak
    finally:
        if soak.process.poll() is None:
            soak.process.kill()
            soak.process.wait()
        soak.left()
        assert soak.process.stdout is not None
        soak.process.stdout.close()


def test_interrupted(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    arguments = ("--minutes", "5", "--rate", "500", "--faults", "loss", "--seed", "11", "--keep", str(kept))
    with soaking(*arguments) as soak:
        soak.until(r"settled [1-9]")
        assert len(soak.children()) >= 10
        os.killpg(soak.process.pid, signal.SIGINT)  # as a terminal does
        assert soak.end() == 130
        assert re.search(r"interrupted after \d+ s, no violation so far; seed 11", soak.text), soak.text
        assert "records equal to the reference's" in soak.text
        assert "Traceback" not in soak.text
        assert soak.left() == []
    assert (kept / "truth").stat().st_size > 10_000


def test_interrupted_while_it_starts() -> None:
    with soaking("--minutes", "5", "--rate", "500") as soak:
        soak.until("soak: seed")
        soak.children()
        os.killpg(soak.process.pid, signal.SIGINT)
        assert soak.end() == 130
        assert "Traceback" not in soak.text
        assert soak.left() == []


def test_a_violation_ends_it_at_once() -> None:
    with soaking("--minutes", "5", "--rate", "500", "--faults", "none", "--seed", "12") as soak:
        soak.until(r"settled [1-9]")
        soak.worker("run_publisher").kill()  # not one of its own faults
        assert soak.end() == 1
        assert "VIOLATION publisher ended with -9" in soak.text
        assert re.search(r"FAILED: \d+ violations? in \d+ s; seed 12", soak.text), soak.text
        assert soak.left() == []


@pytest.mark.skipif(not RECORDING.exists(), reason="no recorded session beside the code")
def test_a_recording_is_clean() -> None:
    arguments = ("--cap", str(RECORDING), "--rate", "60", "--minutes", "1", "--faults", "loss,reorder,parser")
    with soaking(*arguments) as soak:
        assert soak.process.wait(LINES_S_MAX) == 0, soak.text
        assert "clean: 0 violations" in soak.text
        assert "sent 847 messages" in soak.text
