"""A session that has ended is freed at once: nothing of it waits for the collector, which looks at the old rarely."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.gateway.running import RunningGateway


@pytest.fixture
def collector_off() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def come_and_go(gateway: RunningGateway, sessions: int) -> None:
    """Some are open, some are refused: one key has a limit of five sessions."""
    clients = [gateway.connect() for _ in range(sessions)]
    for client in clients:
        client.frame()
    clients[0].subscribe("trade", "FPT")
    for client in clients:
        client.socket.close()
    gateway.until(lambda: not gateway.layer.seats, "everybody has left")


def test_nothing_of_a_session_is_left_in_rings(gateway: RunningGateway, collector_off: None) -> None:
    come_and_go(gateway, 3)
    gc.collect()
    come_and_go(gateway, 20)
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    rings = Counter(type(one).__qualname__ for one in gc.garbage)
    assert not {name for name in rings if name in {"Session", "Member", "Outbox", "GatewayProtocol", "GatewayHttp"}}, (
        rings
    )
    assert sum(rings.values()) < 20, rings
