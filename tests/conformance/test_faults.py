"""What only a gateway in trouble says: INTERNAL and 1011 for one session alone, FEED_DOWN while the bus is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from subscriptions.gateway import consumer
from subscriptions.gateway.session import Session
from tests.gateway import cast
from tests.gateway.running import closed_with, running


def test_a_fault_of_ours_is_internal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Session, operation: Any) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr(Session, "list", fail)
    with running(tmp_path) as gateway:
        one, other = gateway.connect(), gateway.connect()
        one.frame()
        other.frame()
        error = one.ask(op="list", id=1)
        assert (error["code"], error["fatal"]) == ("INTERNAL", True)
        assert closed_with(one)[0] == 1011
        assert other.ask(op="ping", id=2)["t"] == "pong"


def test_a_resume_at_a_gateway_without_its_feed_is_told_to_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "FILL_WAIT_S", 0.1)
    with running(tmp_path) as gateway:
        client = gateway.connect()
        client.frame()
        gateway.until(gateway.layer.filled.is_set, "the gateway has its history")
        gateway.call(gateway.layer.filled.clear)
        error = client.subscribe("trade", "FPT", resume={"FPT": [cast.EPOCH, 3]})
        assert (error["code"], error["fatal"]) == ("FEED_DOWN", False)
        assert 500 <= error["retry_after_ms"] <= 5_000
        gateway.call(gateway.layer.filled.set)
