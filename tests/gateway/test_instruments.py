"""The instruments are read at the start, soon after records name new symbols, and now and then."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from channels.layers import InMemoryChannelLayer

from subscriptions.gateway import worker
from subscriptions.gateway.edges import GatewayEdges
from tests.gateway import cast
from tests.gateway.running import KeyTable, running


def test_names_in_records_bring_the_next_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "INSTRUMENTS_NEW_S", 0.02)
    rows, readings = dict(cast.INSTRUMENTS), 0

    async def read() -> dict[str, tuple[str, str]]:
        nonlocal readings
        readings += 1
        if readings == 2:
            raise ConnectionError("the database is away")
        return dict(rows)

    edges = GatewayEdges(KeyTable(), read, InMemoryChannelLayer())
    with running(tmp_path, edges=edges) as gateway:
        catalog = gateway.layer.catalog
        gateway.until(lambda: len(catalog) == 3, "the first reading")
        time.sleep(0.2)
        assert readings == 1  # nothing new was named
        client = gateway.connect()
        client.frame()
        assert client.subscribe("trade", "HPG")["errors"][0]["code"] == "SYMBOL_UNKNOWN"
        rows["VN000000HPG4"] = ("HPG", "STO")
        gateway.publish(cast.trade("HPG", 1))
        gateway.until(lambda: catalog.market_of("HPG") == "STO", "the row that came with the record")
        assert client.subscribe("trade", "HPG")["ok"] == ["HPG"]
        time.sleep(0.2)
        assert readings == 3  # the second one failed and was tried again
