"""Starts a whole MDDS, each worker in a process of its own or the embedded default, and ends it again by pid."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = ("run_capture", "run_publisher", "run_parser", "run_gateway")
STOP_S = 6.0
SQLITE_FILE = "mdds.sqlite3"
_MIGRATED: list[bytes] = []  # an empty database with all tables, once they were made


def die_with_parent() -> None:
    """Run in a child before it becomes another program: it gets SIGKILL when we end."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing outlives a test that was killed


def run_command(environ: Mapping[str, str], *arguments: str, timeout_s: float = 120.0) -> str:
    """Run a management command to its end and return what it printed; raises with its error text."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        start_new_session=True,  # Ctrl-C is for whoever started us: it ends the system in good order
    )
    if done.returncode:
        raise RuntimeError(f"manage.py {' '.join(arguments)}: exit {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def make_tables(environ: Mapping[str, str]) -> None:
    """Make the tables of the system of `environ`. SQLite's are made once per process, the next systems get copies:
    seconds less each."""
    path, sqlite = Path(environ["MDDS_DATA"]) / SQLITE_FILE, environ.get("MDDS_DATABASE", "sqlite") == "sqlite"
    if sqlite and _MIGRATED:
        path.write_bytes(_MIGRATED[0])
        return
    run_command(environ, "migrate", "--verbosity", "0")
    if sqlite:
        with contextlib.closing(sqlite3.connect(path)) as database:
            _MIGRATED.append(database.serialize())


class System:
    """One system with its own data folder, ports and, where given, broker, cache and database."""

    def __init__(
        self,
        data_dir: Path,
        base_port: int,
        *,
        bus: str = "memory://",
        redis: str = "",
        database: str = "sqlite",
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.base_port = base_port
        self.distributed = not bus.startswith("memory")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environ = {
            **os.environ,
            "MDDS_DATA": str(data_dir),
            "MDDS_PORT": str(base_port),
            "MDDS_BUS": bus,
            "MDDS_REDIS": redis,
            "MDDS_DATABASE": database,
            "PYTHONUNBUFFERED": "1",
            **(extra or {}),
        }
        self.key = ""
        self.login = ("", "")

    @property
    def stream_url(self) -> str:
        return f"ws://127.0.0.1:{self.base_port + 1 if self.distributed else self.base_port}/stream/v1"

    @property
    def portal_url(self) -> str:
        return f"http://127.0.0.1:{self.base_port}/portal/"

    def prepare(self, *options: str) -> None:
        """Database and demo rows; `key` and `login` are known afterwards."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.migrate()
        for line in self.manage("setup_demo", *options).splitlines():
            name, _, value = line.partition(": ")
            if name == "key":
                self.key = value
            elif name == "login":
                user, _, password = value.partition(" ")
                self.login = (user, password)

    def migrate(self) -> None:
        """Make the tables."""
        make_tables(self.environ)

    def manage(self, *arguments: str, timeout_s: float = 120.0) -> str:
        """Run a management command to its end and return what it printed; raises with its error text."""
        return run_command(self.environ, *arguments, timeout_s=timeout_s)

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `manage.py <arguments>` as `name`; its output goes to `data_dir/<name>.log`."""
        log = (self.data_dir / f"{name}.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=self.environ,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,
            start_new_session=True,
        )
        log.close()
        self.processes[name] = process
        return process

    def start_workers(self, names: Sequence[str] = WORKERS) -> None:
        for name in names:
            self.start(name, name)

    def kill(self, name: str) -> None:
        """SIGKILL."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str, *, timeout_s: float = STOP_S) -> int:
        """SIGTERM, and SIGKILL when that does not help; the exit code."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def log(self, name: str) -> str:
        path = self.data_dir / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """End everything that still runs."""
        for process in self.processes.values():
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in self.processes.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def stats(self) -> dict[str, dict[str, object]]:
        """The workers' last heartbeat figures, by `kind/name`."""
        code = (
            "import json; from feeds.models import WorkerHeartbeat as W; "
            "print(json.dumps({f'{w.kind}/{w.name}': w.stats for w in W.objects.all()}))"
        )
        printed = self.manage("shell", "--no-imports", "-c", code)
        found: dict[str, dict[str, object]] = json.loads(printed.strip().splitlines()[-1])
        return found
