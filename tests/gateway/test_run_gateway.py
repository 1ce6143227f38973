"""`run_gateway` as a process of the distributed system: RabbitMQ in, a client on its port, a clean end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from feeds.bus.base import Outgoing
from feeds.bus.factory import open_bus
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.system import make_tables
from tests.gateway import cast

ROOT = Path(__file__).resolve().parents[2]


def manage(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120
    )


@contextmanager
def gateway_process(environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "manage.py", "run_gateway"], cwd=ROOT, env=environ)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def environ(rabbitmq: PrivateRabbitMQ, base_port: int, tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MDDS_")}
    return kept | {"MDDS_DATA": str(tmp_path), "MDDS_PORT": str(base_port), "MDDS_BUS": rabbitmq.url}


def open_stream(port: int, key: str, process: subprocess.Popen[bytes]) -> Any:
    """A connection to a gateway that may still be starting."""
    deadline = time.monotonic() + 60
    while True:
        try:
            headers = {"Authorization": f"Bearer {key}"}
            return connect(f"ws://127.0.0.1:{port}/stream/v1", additional_headers=headers, compression=None).__enter__()
        except (OSError, InvalidHandshake):
            assert process.poll() is None, "the gateway ended"
            assert time.monotonic() < deadline, "the gateway did not listen"
            time.sleep(0.1)


async def publish(environ: dict[str, str], *bodies: bytes) -> None:
    """PARSED messages of one record each, published twice: what comes again must not be delivered again."""
    bus = open_bus(
        environ["MDDS_BUS"], prefix=f"mdds{environ['MDDS_PORT']}", data_dir=Path(environ["MDDS_DATA"]), partitions=4
    )
    await bus.open()
    try:
        outbox = bus.parsed_outbox()
        for number, body in enumerate(bodies, start=1):
            headers = {
                "feed": "STO", "epoch": 2026112001, "origin": "live", "partition": 0, "run": 1,
                "first": number, "last": number, "t_rx": time.time_ns(), "t_pub": time.time_ns(),
            }  # fmt: skip
            for _ in range(2):
                await outbox.put(Outgoing(0, body, headers))
        await asyncio.wait_for(outbox.drained(), 10)
    finally:
        await bus.close()


@pytest.mark.services
def test_a_gateway_process_delivers_from_rabbitmq(environ: dict[str, str]) -> None:
    make_tables(environ)
    key = manage(environ, "setup_demo").stdout.split("key: ")[1].split()[0]
    with gateway_process(environ) as process:
        client = open_stream(int(environ["MDDS_PORT"]) + 1, key, process)
        assert json.loads(client.recv(timeout=5))["subscriber"] == "demo"
        client.send(json.dumps({"op": "sub", "ch": "trade", "symbols": ["*"]}))
        assert json.loads(client.recv(timeout=5))["ok"] == ["*"]
        asyncio.run(publish(environ, *(cast.trade("FPT", number) for number in range(1, 6))))
        numbers: list[int] = []
        while len(numbers) < 5:
            frame = json.loads(client.recv(timeout=5))
            numbers += [one["n"] for one in frame if isinstance(frame, list)]
        assert numbers == [1, 2, 3, 4, 5]
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=5)
        assert client.close_code == 4000
        assert process.wait(5) == 0


def test_a_bus_in_memory_is_refused(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MDDS_")}
    found = manage(kept | {"MDDS_DATA": str(tmp_path)}, "run_gateway")
    assert found.returncode == 1
    assert "MDDS_BUS is memory://" in found.stderr
