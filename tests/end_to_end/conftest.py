"""The systems under test: one embedded, one distributed, each started once and shared by tests on different feeds."""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.ports import free_base_port
from testbed.postgresql import PrivatePostgreSQL
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.redis import PrivateRedis
from testbed.system import ROOT, System
from tests.end_to_end.follower import Follower

READY_S_MAX = 40.0
# The follower wants every record, also of the burst after a fault: with the ordinary bound its images would be merged
# when this machine is too busy for it to keep up.
FOLLOWER_QUEUE_BYTES = 256 << 20
WIDE_OUTBOX = {"MDDS_OUTBOX_BYTES": str(FOLLOWER_QUEUE_BYTES)}


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A seed of the run's own, printed with the test's output."""
    drawn = secrets.randbelow(1_000_000)
    print(f"{request.node.name}: seed {drawn}")
    return drawn


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """`run_all --no-simulator`: one process, nothing but Python."""
    system = System(tmp_path_factory.mktemp("embedded") / "data", free_base_port(), extra=WIDE_OUTBOX)
    try:
        prepare(system)
        system.start("run_all", "run_all", "--no-simulator")
        wait_until_it_streams(system)
        yield system
    finally:
        system.close()


@pytest.fixture(scope="session")
def distributed(
    tmp_path_factory: pytest.TempPathFactory,
    rabbitmq: PrivateRabbitMQ,
    redis_server: PrivateRedis,
    postgresql: PrivatePostgreSQL,
) -> Iterator[System]:
    """Each worker in a process of its own, over RabbitMQ, Redis and PostgreSQL."""
    base_port = free_base_port()
    system = System(
        tmp_path_factory.mktemp("distributed") / "data",
        base_port,
        bus=rabbitmq.url,
        redis=redis_server.url,
        database=postgresql.create_database(f"e2e{base_port}"),
        extra=WIDE_OUTBOX,
    )
    try:
        prepare(system)
        system.start_workers()
        wait_until_it_streams(system)
        yield system
    finally:
        system.close()


def prepare(system: System) -> None:
    """Database and demo rows; the demo's contract lets its clients be far behind."""
    system.prepare(*line_options(system))
    widen = f"Contract.objects.update(queue_bytes_max={FOLLOWER_QUEUE_BYTES})"
    system.manage("shell", "--no-imports", "-c", f"from subscriptions.models import Contract; {widen}")


def line_options(system: System) -> tuple[str, ...]:
    """Plain UDP where this machine has no multicast, as bin/run does."""
    check = [sys.executable, str(ROOT / "bin" / "check_multicast.py"), str(system.base_port)]
    return () if subprocess.run(check, check=False).returncode == 0 else ("--unicast",)


def wait_until_it_streams(system: System) -> None:
    """Return when a message of the exchange reaches a client: every worker has found the others."""
    deadline = time.monotonic() + READY_S_MAX
    with Follower(system, channels=("depth",)) as follower:
        while not follower.count:
            assert time.monotonic() < deadline, "\n".join(system.log(name)[-3000:] for name in system.processes)
            system.manage("run_simulator", "--feed", "UPX", "--symbols", "2", "--count", "60", "--quiet")
        follower.wait_until_quiet(idle_s=0.5, timeout_s=10)


@pytest.fixture
def truth_path(tmp_path: Path) -> Path:
    return tmp_path / "truth"
