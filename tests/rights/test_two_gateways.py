"""Two gateway processes and one limit: a subscriber's sessions count together, and take-over reaches across."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from testbed.rabbitmq import PrivateRabbitMQ
from testbed.redis import PrivateRedis
from testbed.system import System

pytestmark = pytest.mark.services

LIMIT = 3
WAIT_S = 20.0


class TwoGateways:
    def __init__(self, system: System) -> None:
        self.system = system
        self.ports = (system.base_port + 1, system.base_port + 3)

    def start(self) -> None:
        for index, port in enumerate(self.ports):
            self.system.start(f"gateway-{index}", "run_gateway", "--index", str(index), "--port", str(port))

    def opens(self, index: int, *, query: str = "") -> tuple[Any, dict[str, Any]]:
        """A session, and the first frame that it was sent."""
        headers = {"Authorization": f"Bearer {self.system.key}"}
        deadline = time.monotonic() + 30
        while True:
            try:
                url = f"ws://127.0.0.1:{self.ports[index]}/stream/v1{query}"
                client = connect(url, additional_headers=headers, compression=None).__enter__()
                return client, json.loads(client.recv(timeout=WAIT_S))
            except (OSError, InvalidHandshake):
                assert time.monotonic() < deadline, self.system.log(f"gateway-{index}")
                time.sleep(0.1)

    def used(self, index: int) -> tuple[Any, int]:
        client, frame = self.opens(index)
        assert frame["t"] == "welcome", frame
        return client, frame["limits"]["sessions_used"]

    def refused(self, index: int) -> str:
        """The code that one too many is told. A login at the other gateway a moment ago may not be told of yet."""
        deadline = time.monotonic() + WAIT_S
        while True:
            client, frame = self.opens(index)
            if frame["t"] == "error":
                assert closed(client) == 4102
                return str(frame["code"])
            client.close()
            assert time.monotonic() < deadline, "one too many is let in again and again"
            time.sleep(0.5)

    def until_let_in(self, index: int) -> Any:
        """As a client that comes back; a session that ended is told to the other gateway within a moment."""
        deadline = time.monotonic() + WAIT_S
        while True:
            client, frame = self.opens(index)
            if frame["t"] == "welcome":
                return client
            assert frame["code"] == "SESSION_LIMIT"
            assert time.monotonic() < deadline, "nobody is let in"
            time.sleep(0.1)


def closed(client: Any) -> int | None:
    try:
        while True:
            client.recv(timeout=WAIT_S)
    except ConnectionClosed:
        return client.close_code  # type: ignore[no-any-return]


@pytest.fixture
def gateways(
    rabbitmq: PrivateRabbitMQ, redis_server: PrivateRedis, base_port: int, tmp_path: Path
) -> Iterator[TwoGateways]:
    system = System(tmp_path / "data", base_port, bus=rabbitmq.url, redis=redis_server.url_of(5))
    try:
        system.prepare()
        text = f"from subscriptions.models import Contract; Contract.objects.update(sessions_max={LIMIT})"
        system.manage("shell", "-v0", "-c", text)
        two = TwoGateways(system)
        two.start()
        yield two
    finally:
        system.close()


def test_a_limit_holds_over_both(gateways: TwoGateways, redis_server: PrivateRedis) -> None:
    first, used = gateways.used(0)
    assert used == 1
    second, used = gateways.used(1)
    assert used == 2
    third, used = gateways.used(0)
    assert used == 3
    assert gateways.refused(0) == gateways.refused(1) == "SESSION_LIMIT"
    # One ends: its place is free at the other gateway.
    second.close()
    fourth = gateways.until_let_in(0)
    assert gateways.refused(1) == "SESSION_LIMIT"
    # Take-over: the oldest ends, though it is at the other gateway.
    fifth, frame = gateways.opens(1, query="?takeover=true")
    assert (frame["t"], frame["limits"]["sessions_used"]) == ("welcome", LIMIT)
    assert closed(first) == 4101
    # Killed, its sessions end with it; once it is taken for dead, their places are free.
    gateways.system.processes["gateway-0"].kill()
    for one in (third, fourth):
        assert closed(one) in (None, 1006)
    others = [gateways.until_let_in(1) for _ in range(LIMIT - 1)]
    assert gateways.refused(1) == "SESSION_LIMIT"
    # Without Redis each counts for itself, and nobody is cut.
    redis_server.kill()
    try:
        gateways.system.start("gateway-2", "run_gateway", "--index", "2", "--port", str(gateways.ports[0]))
        alone = [gateways.until_let_in(0) for _ in range(LIMIT)]
        assert gateways.refused(0) == gateways.refused(1) == "SESSION_LIMIT"
    finally:
        redis_server.start()
    for one in (fifth, *others, *alone):
        one.send('{"op":"ping"}')
        assert json.loads(one.recv(timeout=WAIT_S))["t"] in ("pong", "hb")
