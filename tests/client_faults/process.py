"""The gateway under test as a process: told what to publish, asked what it counts, killed and started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from testbed.ports import free_port
from testbed.system import ROOT, die_with_parent

START_S_MAX = 30.0


class GatewayProcess:
    def __init__(self, folder: Path, *, host: str = "127.0.0.1", inside: tuple[str, ...] = ()) -> None:
        """`inside`: a command that runs it elsewhere, `ip netns exec …`."""
        self.folder, self.host, self.inside = folder, host, inside
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> GatewayProcess:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Until it listens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "gateway.log").open("ab") as log:
            where = [str(self.folder), str(self.port), self.host]
            self._process = subprocess.Popen(
                [*self.inside, sys.executable, "-m", "tests.client_faults.serving", *where],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        answer = self._answer()
        assert answer == {"port": self.port}, (self.folder / "gateway.log").read_text()[-3000:]

    def kill(self) -> None:
        """SIGKILL."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.communicate()

    @property
    def resident_bytes(self) -> int:
        """VmRSS."""
        assert self._process is not None
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def ask(self, do: str, **order: Any) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def publish(self, *streams: tuple[str, str, int, int], interval_s: float) -> None:
        """(channel, symbol, records an interval, characters of padding)."""
        members = ("ch", "s", "count", "pad")
        self.ask("publish", streams=[dict(zip(members, one, strict=True)) for one in streams], interval_s=interval_s)

    def stats(self) -> dict[str, Any]:
        return self.ask("stats")

    def until(self, true: Callable[[dict[str, Any]], bool], what: str, *, wait_s: float = 30.0) -> dict[str, Any]:
        """Blocks the caller: for tests whose clients are read by hand or in another thread."""
        deadline = time.monotonic() + wait_s
        while not true(found := self.stats()):
            assert time.monotonic() < deadline, f"waited {wait_s} s in vain: {what}: {found}"
            time.sleep(0.1)
        return found

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self.folder / "gateway.log").read_text()[-3000:]
        found: dict[str, Any] = json.loads(line)
        return found
