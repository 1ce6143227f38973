"""What a gateway says of itself: heartbeats to idle clients, numbers for the status page and Prometheus."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import REGISTRY

from subscriptions.gateway.layer import GatewaySettings
from tests.gateway import cast
from tests.gateway.running import RunningGateway, running


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_an_idle_client_has_heartbeats_with_the_feeds(tmp_path: Path) -> None:
    with running(tmp_path, settings=GatewaySettings(heartbeat_s=1)) as gateway:
        client = gateway.connect()
        client.frame()
        gateway.publish(cast.trade("FPT", 1))
        beat = client.frame(3.0)
        assert (beat["t"], beat["time"][-1]) == ("hb", "Z")
        feed = beat["feeds"]["HSX"]
        assert (feed["ep"], feed["q"], feed["state"]) == (cast.EPOCH, 1001, "live")
        assert 0 <= feed["age_ms"] < 5_000
        assert client.frame(3.0)["t"] == "hb"


def test_numbers_add_up(gateway: RunningGateway) -> None:
    before = {name: sample(f"mdds_gateway_{name}_total") for name in ("records_in", "delivered", "sessions_opened")}
    client = gateway.connect("bob")
    client.frame()
    client.subscribe("trade", "FPT", "VNM")
    gateway.publish(cast.trade("FPT", 1), cast.trade("VNM", 1), cast.trade("SHS", 1, m="STX"))
    client.records(2)
    stats = gateway.call(gateway.worker.stats)
    assert {name: stats[name] for name in ("clients", "subscriptions", "records_in", "eligible", "records_out")} == {
        "clients": 1, "subscriptions": 2, "records_in": 3, "eligible": 2, "records_out": 2,
    }  # fmt: skip
    assert set(stats["dropped"].values()) == {0}
    row = stats["sessions"][0]
    shown = {name: row[name] for name in ("subscriber", "key_id", "address", "subscriptions", "records_out", "state")}
    assert shown == {
        "subscriber": "bobco", "key_id": "bob00001", "address": "127.0.0.1", "subscriptions": ["trade FPT VNM"],
        "records_out": 2, "state": "open",
    }  # fmt: skip
    client.socket.close()
    gateway.until(lambda: not gateway.layer.seats, "the session is gone")
    assert gateway.call(gateway.worker.stats)["records_out"] == 2  # an ended session keeps its count
    gateway.until(lambda: sample("mdds_gateway_records_in_total") == before["records_in"] + 3, "carried over")
    assert sample("mdds_gateway_delivered_total") == before["delivered"] + 2
    assert sample("mdds_gateway_sessions_opened_total") == before["sessions_opened"] + 1
