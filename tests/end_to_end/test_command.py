"""The command `mdds` against a running system: a live ladder in a terminal, and a doctor who finds what is wrong."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from testbed.ports import free_base_port, free_port
from testbed.system import System
from tests.end_to_end.conftest import line_options, wait_until_it_streams

MDDS = Path(sys.executable).parent / "mdds"
WAIT_S = 60.0
LEVEL = re.compile(r"[0-9][0-9,]*\.[0-9]")  # a price, as the ladder writes it
EVERY_FEED = {"STO", "STX", "UPX", "DVX"}
# What an unknown trading day means: silence is trouble at any time, also on the Sunday on which this test runs.
FORGET_CALENDAR = "from feeds.models import TradingSession; TradingSession.objects.all().delete()"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The embedded system with a simulated exchange beside it that can fall silent."""
    one = System(tmp_path_factory.mktemp("command") / "data", free_base_port())
    try:
        one.prepare(*line_options(one))
        one.start("run_all", "run_all", "--no-simulator")
        wait_until_it_streams(one)
        one.start("trading", "run_simulator", "--symbols", "2", "--rate", "80", "--quiet")
        yield one
    finally:
        one.close()


class Done(NamedTuple):
    code: int
    out: str

    @property
    def findings(self) -> dict[str, list[dict[str, str]]]:
        """By what was looked at."""
        found: dict[str, list[dict[str, str]]] = {}
        for one in json.loads(self.out):
            found.setdefault(one["check"], []).append(one)
        return found


def environ(system: System) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MDDS_")}
    return {**kept, "MDDS_URL": system.stream_url, "MDDS_API_KEY": system.key, "TERM": "xterm-256color"}


def mdds(system: System, *arguments: str, **changes: str) -> Done:
    done = subprocess.run(
        [MDDS, *arguments], env=environ(system) | changes, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Done(done.returncode, done.stdout)


def doctor_until(system: System, true: Callable[[Done], bool]) -> Done:
    deadline = time.monotonic() + WAIT_S
    while not true(found := mdds(system, "doctor", "--json")):
        assert time.monotonic() < deadline, found.out
        time.sleep(0.5)
    return found


def busy_symbol(system: System) -> str:
    done = mdds(system, "sub", "*", "--ch", "depth", "--json", "--count", "40", "--no-snapshot")
    symbols = [json.loads(line)["s"] for line in done.out.splitlines()]
    return max(set(symbols), key=symbols.count)


def screens(system: System, *arguments: str, until: Callable[[str], bool]) -> tuple[str, int]:
    """What a terminal of 100 by 40 was sent until it satisfied; then Ctrl-C, and the exit code."""
    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen([MDDS, *arguments], env=environ(system), stdin=inside, stdout=inside, stderr=inside)
    os.close(inside)
    shown, deadline = "", time.monotonic() + WAIT_S
    try:
        while not until(shown):
            assert time.monotonic() < deadline, shown[-2000:]
            shown += os.read(terminal, 65_536).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        while True:
            try:
                if not os.read(terminal, 65_536):
                    break
            except OSError:  # the other end is closed
                break
        return shown, process.wait(10)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


@pytest.mark.parametrize("arguments", [("sub", "--ch", "depth"), ("book",)], ids=lambda one: one[0])
def test_a_live_ladder_in_the_terminal(system: System, arguments: tuple[str, ...]) -> None:
    command, *rest = arguments
    symbol = busy_symbol(system)
    counts: list[int] = []

    def moved(shown: str) -> bool:
        """The ladder was drawn with levels on both sides, and again with more records behind it."""
        counts[:] = [int(found.replace(",", "")) for found in re.findall(r"records: ([0-9,]+)", shown)]
        return len(set(counts)) >= 3 and max(counts) >= 5

    shown, code = screens(system, command, symbol, *rest, until=moved)
    assert code == 130
    assert symbol in shown
    assert len(set(LEVEL.findall(shown))) >= 2, "prices"
    assert counts == sorted(counts)
    assert "Ctrl-C ends" in shown


def test_the_doctor_finds_nothing_where_all_is_well(system: System) -> None:
    symbol = busy_symbol(system)
    found = doctor_until(system, lambda done: done.code == 0)
    assert {one["text"].partition(":")[0] for one in found.findings["feed"]} == EVERY_FEED
    done = mdds(system, "doctor", symbol, "--ch", "depth", "--wait", "3")
    assert (done.code, done.out.splitlines()[-1]) == (0, "all well")
    assert f"depth {symbol}" in done.out


def test_the_doctor_finds_a_wrong_key(system: System) -> None:
    wrong = system.key[:-7] + ("A" if system.key[-7] != "A" else "B") + system.key[-6:]
    done = mdds(system, "doctor", "--json", MDDS_API_KEY=wrong)
    (found,) = done.findings["auth"]
    assert (done.code, found["verdict"], "AUTH_FAILED" in found["text"]) == (3, "fail", True)
    assert "portal" in found["advice"]
    assert wrong not in done.out


@pytest.mark.parametrize("url", ["ws://no-such-host.invalid/stream/v1", "ws://127.0.0.1:{port}/stream/v1"])
def test_the_doctor_finds_a_wrong_host(system: System, url: str) -> None:
    done = mdds(system, "doctor", "--json", "--url", url.format(port=free_port()))
    failed = [one for group in done.findings.values() for one in group if one["verdict"] == "fail"]
    assert (done.code, [one["check"] for one in failed]) == (5, ["dns" if "invalid" in url else "tcp"])
    assert failed[0]["advice"]


def test_the_doctor_finds_a_stale_feed(system: System) -> None:
    """The last test of this system: its exchange falls silent."""
    system.manage("shell", "-v0", "-c", FORGET_CALENDAR)
    system.stop("trading", timeout_s=10)
    done = doctor_until(system, lambda done: sum("stale" in one["text"] for one in done.findings["feed"]) == 4)
    assert done.code == 1
    assert {(one["verdict"], one["text"].partition(",")[0]) for one in done.findings["feed"]} == {
        ("fail", f"{name}: stale") for name in EVERY_FEED
    }
    assert all("operator" in one["advice"] for one in done.findings["feed"])
