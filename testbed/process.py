"""A server process of our own: started, stopped, killed, paused and started again on the same port and data.

The server runs in its own session, so Ctrl-C on the tests does not reach it. A small guard process holds the read end
of a pipe whose write end only we hold: when we end, in whatever way (SIGKILL included), the guard reads end-of-file,
kills the server's process group and removes its folder. PR_SET_PDEATHSIG would not do: it fires when the starting
*thread* ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from testbed.ports import free_port

STOP_S_MAX = 15.0
POLL_S = 0.02


class ServiceNotStarted(RuntimeError):
    """The server ended or did not answer in time; the text carries the end of its log."""


class ServiceMissing(RuntimeError):
    """A binary that the server needs is not installed; the text names the Debian package."""


def find_binary(name: str, *, package: str, folders: tuple[str, ...] = ()) -> str:
    """The path of a binary: on PATH or in one of `folders` (glob patterns, highest version first)."""
    for pattern in folders:
        matches = sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
        for folder in matches:
            if os.access(folder / name, os.X_OK):
                return str(folder / name)
    found = shutil.which(name)
    if found is None:
        raise ServiceMissing(f"{name} is not installed: apt-get install {package}")
    return found


class PrivateService:
    """Base of the private servers. A subclass gives `name`, `_prepare`, `_command`, `_answers` and `url`."""

    name = "service"
    start_s_max = 60.0

    def __init__(self, folder: Path | None = None, port: int | None = None) -> None:
        self._owns_folder = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix=f"mdds-{self.name}-")) if folder is None else folder
        self.port = port if port is not None else free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._prepared = False

    # ------------------------------------------------------------------ what a subclass gives
    @property
    def url(self) -> str:
        """Where to connect."""
        raise ServiceNotStarted(f"{self.name} has no address")

    def _prepare(self) -> None:
        """Create data and configuration; called once, before the first start."""

    def _command(self) -> list[str]:
        """The command line; it must exec the server itself, so that the pid is the server's."""
        raise ServiceNotStarted(f"{self.name} has no command")

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def _user(self) -> str | None:
        """The account the server runs under, None for ours."""
        return None

    def _answers(self) -> bool:
        """True when the server speaks its protocol on its port."""
        return False

    # ------------------------------------------------------------------ life
    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise ServiceNotStarted(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """True while the process exists (it may be paused)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and return when it answers. No effect when it runs."""
        if self.running:
            return
        if not self._prepared:
            self._prepare()
            self._prepared = True
            atexit.register(self.close)
        with (self.folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                cwd=self.folder,
                user=self._user(),
                group=self._user(),
                extra_groups=[] if self._user() else None,
                start_new_session=True,
            )
        self._guard = _start_guard(self._process.pid, folder=self.folder, remove=self._owns_folder)
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End the server in good order (SIGTERM), by force after `STOP_S_MAX`."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: what a crash looks like. `start()` brings it back on the same port and data."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: the server holds its connections and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause()`."""
        os.kill(self.pid, signal.SIGCONT)

    def ensure_running(self) -> None:
        """Heal what a test did: resume when paused, start when ended."""
        if self.running:
            self.resume()
        self.start()

    def close(self) -> None:
        """Stop for good and remove the data."""
        atexit.unregister(self.close)
        self.kill()
        if self._owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------------ inside
    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        guard, self._guard = self._guard, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
                os.kill(process.pid, how)
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S_MAX)
        if guard is not None:
            # The guard sweeps the group: what a killed server had started ends with it.
            guard.communicate(b"ended\n", timeout=STOP_S_MAX)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self.start_s_max
        while time.monotonic() < deadline:
            if not self.running:
                break
            if self._answers():
                return
            time.sleep(POLL_S)
        state = "did not answer" if self.running else "ended at start"
        self.kill()
        raise ServiceNotStarted(f"{self.name} {state} on port {self.port}:\n{self.log_tail()}")

    def log_tail(self, lines: int = 40) -> str:
        """The end of what the server printed."""
        log = self.folder / "output.log"
        if not log.exists():
            return ""
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _start_guard(group: int, *, folder: Path, remove: bool) -> subprocess.Popen[bytes]:
    """A shell that waits for a line (we end the server in good order) or end-of-file (we are gone)."""
    sweep = f"kill -KILL -{group} 2>/dev/null"
    bury = f"{sweep}; sleep 0.2; rm -rf {shlex.quote(str(folder))}" if remove else sweep
    with (folder / "guard.log").open("ab") as log:
        return subprocess.Popen(
            ["/bin/sh", "-c", f"if read -r line; then {sweep}; else {bury}; fi; exit 0"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
