"""The command `mdds` as a process of its own, for tests of what it prints."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest

END_S_MAX = 30.0


def pytest_configure() -> None:
    """A shell starts its background jobs without Ctrl-C, and they hand that down: tests need it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Done(NamedTuple):
    code: int
    out: str
    err: str


def start(arguments: tuple[str, ...], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MDDS_")}
    wide = {**clean, "COLUMNS": "200", **environment}
    command = [sys.executable, "-m", "mdds_client", *arguments]
    return subprocess.Popen(command, env=wide, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def mdds() -> Callable[..., Awaitable[Done]]:
    """`await mdds("sub", "FPT", MDDS_URL=…)`: exit code, stdout, stderr."""

    async def run(*arguments: str, **environment: str) -> Done:
        with start(arguments, environment) as process:
            try:
                out, err = await asyncio.to_thread(process.communicate, timeout=END_S_MAX)
            finally:
                process.kill()
        return Done(process.returncode, out.decode(), err.decode())

    return run
