"""Capture, publisher and parsers of one feed as processes on a broker, behind a relay that harms the lines.

No database and no gateway: what goes in is in the truth log and the relay's log, what comes out is read back from the
journal, from a tap on RAW, from the PARSED stream and from the dead letters (`testbed.evidence`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from feeds.config import FeedConfig, LineConfig
from testbed.ports import free_port
from testbed.relay import Relay
from testbed.system import ROOT, die_with_parent
from testbed.worker_process import feed_as_json

READY_S_MAX = 60.0
STOP_S_MAX = 10.0
LOOK_S = 0.05


class NotInTime(AssertionError):
    """What was waited for did not happen; the text carries the logs' ends."""


class OtherDisk(NamedTuple):
    """A data folder in another mount namespace: the command the workers run under, and where we see the folder."""

    folder: Path
    wrapper: tuple[str, ...]
    seen_at: Path


class LivePath:
    """One feed. Names of processes: capture, publisher, parser-0, parser-1, …"""

    def __init__(
        self, folder: Path, bus: str, *, seed: int, partitions: int = 2, disk: OtherDisk | None = None
    ) -> None:
        self.folder = folder
        self.bus = bus
        self.seed = seed
        self.partitions = partitions
        self.wrapper = disk.wrapper if disk else ()
        self.data_dir = disk.folder if disk else folder / "data"
        self.seen_at = disk.seen_at if disk else self.data_dir
        folder.mkdir(parents=True)
        self.seen_at.mkdir(parents=True, exist_ok=True)
        ports = [free_port(), free_port()]
        self.relay = Relay(ports, seed=seed, log=folder / "relay.log")
        self.prefix = f"live{ports[0]}"
        self.feed = self._feed(ports)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.outages: list[tuple[int, int]] = []  # (from, to) in ns: the capture was not there
        self.started_ns = time.time_ns()
        self.tapped = False  # a queue of ours gets a copy of RAW
        self.colocated = False  # publishers that are started from now on have their parsers beside them
        self._captured_until_ns = 0
        self._runs = 0

    def _feed(self, ports: list[int] | tuple[int, ...]) -> FeedConfig:
        lines = tuple(LineConfig(name, "127.0.0.1", port) for name, port in zip("AB", ports, strict=True))
        return FeedConfig(
            id=7, name="STO", exchange="HOSE", markets=("STO",), lines=lines, partitions=self.partitions,
            receive_buffer_bytes=32 << 20,
        )  # fmt: skip

    # ------------------------------------------------------------------ life
    def start_all(self, parsers: int = 1) -> None:
        """Everything; returns when it is ready for data."""
        self.relay.start()
        names = ["capture", "publisher", *(f"parser-{n}" for n in range(parsers))]
        for name in names:
            self.start(name)
        for name in names:
            self.wait_ready(name)

    def start(self, name: str, *, broken: str = "", bus: str = "") -> None:
        """Start a worker; `wait_ready` waits for it."""
        self._runs += 1
        self.stats_path(name).unlink(missing_ok=True)
        spec = {
            "kind": name.split("-")[0], "name": name, "feed": feed_as_json(self.feed), "bus": bus or self.bus,
            "prefix": self.prefix, "data_dir": str(self.data_dir), "stats": str(self.stats_path(name)),
            "broken": broken, "colocated": self.colocated,
        }  # fmt: skip
        self._spawn(name, "testbed.worker_process", spec, wrapper=self.wrapper)

    def start_exchange(self, *, rate: int, **options: object) -> None:
        """The exchange, onto the relay. `options`: duration_s, count, burst, symbols."""
        spec = {
            "feed": feed_as_json(self._feed(self.relay.in_ports)), "rate": rate, "seed": self.seed, "symbols": 40,
            "truth": str(self.folder / "truth"), "summary": str(self.stats_path("exchange")), **options,
        }  # fmt: skip
        self._spawn("exchange", "testbed.exchange_process", spec)
        self.wait_until(lambda: self.relay.lines[0].received > 0, "the exchange sends")

    def _spawn(self, name: str, module: str, spec: dict[str, object], *, wrapper: tuple[str, ...] = ()) -> None:
        path = self.folder / f"{name}.{self._runs}.json"
        path.write_text(json.dumps(spec))
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*wrapper, sys.executable, "-m", module, str(path)],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )

    def wait_ready(self, name: str) -> None:
        """Until the worker has written its first figures (a capture: until its sockets are open)."""

        def ready() -> bool:
            stats = self.stats(name)
            return bool(stats and (name != "capture" or stats["datagrams_total"]))

        self.wait_until(ready, f"{name} is ready")
        if name == "capture" and self._captured_until_ns:
            self.outages.append((self._captured_until_ns, int(self.stats(name)["at_ns"])))
            self._captured_until_ns = 0

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._note_outage(name)
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> int:
        """SIGTERM; the exit code."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            return process.wait(STOP_S_MAX)
        finally:
            self._note_outage(name)

    def pause(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGCONT)

    def end_exchange(self) -> None:
        """Let the exchange end now, wait until the relay has passed on everything."""
        process = self.processes.pop("exchange")
        process.terminate()
        process.wait(STOP_S_MAX)
        self.relay.heal()
        sent = self.exchange_sent()
        self.wait_until(lambda: [line.received + line.kernel_drops for line in self.relay.lines] == sent, "relayed")

    def close(self) -> None:
        """End everything that runs."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.processes.clear()
        self.relay.stop()

    # ------------------------------------------------------------------ looking
    def stats_path(self, name: str) -> Path:
        return self.folder / f"{name}.stats"

    def stats(self, name: str) -> dict[str, Any]:
        """A worker's last figures; empty before the first."""
        try:
            found: dict[str, Any] = json.loads(self.stats_path(name).read_text())
        except FileNotFoundError:
            return {}
        return found

    def exchange_sent(self) -> list[int]:
        """Datagrams by line, heartbeats included."""
        lines = self.stats("exchange")["feeds"]["STO"]["lines"]
        return [lines[name]["sent"] for name in "AB"]

    def sent_messages(self) -> int:
        return self.relay.lines[0].received

    def wait_until(self, condition: Callable[[], bool], what: str, *, timeout_s: float = READY_S_MAX) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            for name, process in self.processes.items():
                if process.poll() not in (None, 0):
                    raise NotInTime(f"{name} ended with {process.returncode} before {what}:\n{self.log(name)}")
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {name}\n{self.log(name)}" for name in self.processes)
                raise NotInTime(f"not within {timeout_s:.0f} s: {what} (seed {self.seed})\n{logs}")
            time.sleep(LOOK_S)

    def flow_on(self, messages: int) -> None:
        """Until the exchange has sent so many more."""
        until = self.sent_messages() + messages
        self.wait_until(lambda: self.sent_messages() >= until, f"{messages} more messages")

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-25:]) if path.exists() else ""

    def _note_outage(self, name: str) -> None:
        if name == "capture":
            self._captured_until_ns = time.time_ns()
