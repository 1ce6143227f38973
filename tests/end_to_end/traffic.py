"""The simulated exchange as a process beside a system, with its truth."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from feeds.simulator.truth import TruthMessage
from testbed.system import System
from tests.end_to_end.truth import read_truth

END_S_MAX = 30.0


class Traffic:
    """One run on one feed, for `seconds` or until it is stopped; on two lines, without faults of its own."""

    def __init__(self, system: System, feed: str, truth_path: Path, *, rate: int, seed: int, seconds: int = 60) -> None:
        self.feed = feed
        self.truth_path = truth_path
        self._system = system
        self._seconds = seconds
        self._name = f"exchange {truth_path.parent.name}"
        self._process: subprocess.Popen[bytes] = system.start(
            self._name, "run_simulator", "--feed", feed, "--symbols", "60", "--rate", str(rate),
            "--duration", str(seconds), "--seed", str(seed), "--truth", str(truth_path), "--json", "--quiet",
        )  # fmt: skip

    def wait(self) -> list[TruthMessage]:
        """Until the run is over; its truth without heartbeats."""
        assert self._process.wait(self._seconds + END_S_MAX) == 0, self._system.log(self._name)
        del self._system.processes[self._name]
        return read_truth(self.truth_path)

    def stop(self) -> list[TruthMessage]:
        """End the run now; its truth without heartbeats."""
        self._process.terminate()
        return self.wait()

    def sent(self) -> dict[str, int]:
        """Datagrams by line, heartbeats included."""
        summary: dict[str, Any] = json.loads(self._system.log(self._name).splitlines()[-1])
        return {name: line["sent"] for name, line in summary["feeds"][self.feed]["lines"].items()}
