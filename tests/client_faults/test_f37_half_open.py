"""F37: clients whose network goes away without a word, and one that is frozen: closed within 33 seconds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from testbed.system import ROOT, die_with_parent
from tests.client_faults.process import GatewayProcess

CLOSED_S_MAX = 33.0
SLACK_S = 2.0  # of a loaded machine
SERVER, CLIENT = "10.237.37.1", "10.237.37.2"


def ip(*arguments: str) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, check=False).returncode == 0


@contextmanager
def two_networks() -> Iterator[tuple[str, str] | None]:
    """Two network namespaces with one wire between them; nothing of it is seen outside. None where that cannot be."""
    names = (f"mdds{os.getpid()}s", f"mdds{os.getpid()}c")
    try:
        made = os.geteuid() == 0 and shutil.which("ip") is not None and all(ip("netns", "add", name) for name in names)
        made = made and ip(
            "-n", names[0], "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", names[1]
        )
        if not made:
            yield None
            return
        for name, address in zip(names, (SERVER, CLIENT), strict=True):
            assert ip("-n", name, "addr", "add", f"{address}/24", "dev", "wire")
            assert ip("-n", name, "link", "set", "wire", "up")
            assert ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        if shutil.which("ip") is not None:
            for name in names:
                ip("netns", "del", name)


@contextmanager
def lone(gateway: GatewayProcess, symbol: str, inside: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    command = [*inside, sys.executable, "-m", "tests.client_faults.lone", gateway.host, str(gateway.port), symbol]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
    finally:
        process.kill()
        process.communicate()


class Watch:
    """A gateway that shall close all but one good client; a thread waits for it, both faults are begun before either
    is waited for."""

    def __init__(self, gateway: GatewayProcess, good: subprocess.Popen[str]) -> None:
        self._gateway, self._good = gateway, good
        self._took_s = 0.0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        began = time.monotonic()
        try:
            self._gateway.until(lambda found: found["clients"] == 1, "they are closed", wait_s=CLOSED_S_MAX + SLACK_S)
        except (AssertionError, OSError) as error:
            self._error = error
        self._took_s = time.monotonic() - began

    def closed_after_s(self) -> float:
        """Seconds from the fault on; the good one is still there."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        assert self._good.poll() is None
        return self._took_s


def freeze_a_client(stack: ExitStack, folder: Path) -> Watch:
    gateway = stack.enter_context(GatewayProcess(folder / "frozen"))
    frozen, good = (stack.enter_context(lone(gateway, symbol)) for symbol in ("FPT", "VNM"))
    gateway.publish(("trade", "FPT", 1, 10), interval_s=0.1)
    gateway.until(lambda found: found["subscriptions"] == 2, "both follow")
    frozen.send_signal(signal.SIGSTOP)
    return Watch(gateway, good)


def kill_a_wire(stack: ExitStack, folder: Path) -> Watch | None:
    names = stack.enter_context(two_networks())
    if names is None:
        return None
    server, client = names
    there, here = ("ip", "netns", "exec", client), ("ip", "netns", "exec", server)
    gateway = stack.enter_context(GatewayProcess(folder / "wire", host=SERVER, inside=here))
    gateway.publish(("trade", "FPT", 1, 10), interval_s=0.1)
    for symbol in ("FPT", "VNM"):  # one with records under way, one that is idle
        stack.enter_context(lone(gateway, symbol, there))
    good = stack.enter_context(lone(gateway, "FPT", here))
    gateway.until(lambda found: found["subscriptions"] == 3, "all follow")
    assert ip("-n", client, "link", "set", "wire", "down")
    return Watch(gateway, good)


@pytest.fixture(scope="module")
def watches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Watch, Watch | None]]:
    folder = tmp_path_factory.mktemp("f37")
    with ExitStack() as stack:
        yield freeze_a_client(stack, folder), kill_a_wire(stack, folder)


def test_a_frozen_client_is_closed(watches: tuple[Watch, Watch | None]) -> None:
    print(f"closed after {watches[0].closed_after_s():.1f} s")


def test_clients_behind_a_dead_wire_are_closed(watches: tuple[Watch, Watch | None]) -> None:
    if watches[1] is None:
        pytest.skip("no network namespaces with a veth pair here")
    print(f"closed after {watches[1].closed_after_s():.1f} s")
