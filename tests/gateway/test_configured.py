"""What a gateway is told from outside reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from channels.layers import channel_layers

from feeds.bus.memory import MemoryBus
from mdds_site.env import read_environment
from subscriptions.gateway.configured import configured_gateway
from subscriptions.gateway.layer import StreamLayer


@pytest.fixture
def layer() -> Iterator[StreamLayer]:
    before, layer = channel_layers.backends.get("default"), StreamLayer()
    channel_layers.set("default", layer)
    yield layer
    if before is None:
        channel_layers.backends.pop("default", None)
    else:
        channel_layers.set("default", before)


def test_the_environment_bounds_the_sessions(tmp_path: Path, layer: StreamLayer) -> None:
    environ = {
        "MDDS_DATA": str(tmp_path), "MDDS_SESSIONS_MAX": "70", "MDDS_SESSIONS_PER_ADDRESS_MAX": "7",
        "MDDS_FLUSH_MS": "3", "MDDS_OUTBOX_BYTES": "70000", "MDDS_HEARTBEAT_S": "2",
    }  # fmt: skip
    mdds, problems = read_environment(environ, root=tmp_path)
    assert problems == ()
    worker = configured_gateway(MemoryBus(tmp_path, 1), mdds)
    worker.edges.keys.close()
    told = layer.settings
    assert worker.layer is layer
    assert (told.sessions_max, told.sessions_per_address_max) == (70, 7)
    assert (told.flush_ms, told.outbox_bytes_max, told.heartbeat_s) == (3, 70_000, 2)
