"""F37: clients whose network goes away without a word, and one that is frozen: closed within 33 seconds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
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
def two_networks() -> Iterator[tuple[str, str]]:
    """Two network namespaces with one wire between them; nothing of it is seen outside."""
    names = (f"mdds{os.getpid()}s", f"mdds{os.getpid()}c")
    try:
        made = all(ip("netns", "add", name) for name in names)
        made = made and ip(
            "-n", names[0], "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", names[1]
        )
        if not made:
            pytest.skip("no network namespaces with a veth pair here")
        for name, address in zip(names, (SERVER, CLIENT), strict=True):
            assert ip("-n", name, "addr", "add", f"{address}/24", "dev", "wire")
            assert ip("-n", name, "link", "set", "wire", "up")
            assert ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
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


def closed_after_s(gateway: GatewayProcess, left: int) -> float:
    began = time.monotonic()
    gateway.until(lambda found: found["clients"] == left, "they are closed", wait_s=CLOSED_S_MAX + SLACK_S)
    return time.monotonic() - began


def test_a_frozen_client_is_closed(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path / "gateway") as gateway, lone(gateway, "FPT") as frozen, lone(gateway, "VNM") as good:
        gateway.publish(("trade", "FPT", 1, 10), interval_s=0.1)
        gateway.until(lambda found: found["subscriptions"] == 2, "both follow")
        frozen.send_signal(signal.SIGSTOP)
        took_s = closed_after_s(gateway, 1)
        print(f"closed after {took_s:.1f} s")
        assert good.poll() is None


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root for network namespaces")
def test_clients_behind_a_dead_wire_are_closed(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server, client = stack.enter_context(two_networks())
        there, here = ("ip", "netns", "exec", client), ("ip", "netns", "exec", server)
        gateway = stack.enter_context(GatewayProcess(tmp_path / "gateway", host=SERVER, inside=here))
        gateway.publish(("trade", "FPT", 1, 10), interval_s=0.1)
        for symbol in ("FPT", "VNM"):  # one with records under way, one that is idle
            stack.enter_context(lone(gateway, symbol, there))
        good = stack.enter_context(lone(gateway, "FPT", here))
        gateway.until(lambda found: found["subscriptions"] == 3, "all follow")
        assert ip("-n", client, "link", "set", "wire", "down")
        took_s = closed_after_s(gateway, 1)
        print(f"closed after {took_s:.1f} s")
        assert good.poll() is None
