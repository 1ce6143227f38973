"""Rights that change under a running session: by notice, with the control layer away, and by the passing of time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from subscriptions.protocol import ProtocolError
from tests.gateway import cast
from tests.gateway.running import DeadControl, RunningGateway, closed_with, running

REVOKED = ProtocolError("KEY_REVOKED", "key alice001 was revoked", fatal=True)


def tell(gateway: RunningGateway, subscriber: int | None) -> None:
    """What `subscriptions.notices` sends on commit."""
    message = {"type": "rights.changed", "what": "apikey", "subscriber": subscriber, "keys": []}
    asyncio.run_coroutine_threadsafe(gateway.control.group_send("rights", message), gateway._loop).result(5)


def test_a_revoked_key_ends_its_sessions_and_no_other(gateway: RunningGateway) -> None:
    alice, bob = gateway.connect(), gateway.connect("bob")
    for client in (alice, bob):
        client.frame()
        client.subscribe("trade", "FPT")
    gateway.keys.ended["alice001"] = REVOKED
    tell(gateway, 1)
    error = alice.frame(1.0)
    assert (error["code"], error["fatal"]) == ("KEY_REVOKED", True)
    gateway.publish(cast.trade("FPT", 1))
    assert closed_with(alice) == (4401, {"code": "KEY_REVOKED", "retry_after_ms": None})
    assert bob.records(1)[0]["n"] == 1
    assert gateway.connect().frame()["code"] == "KEY_REVOKED"


def test_a_revoked_key_ends_within_a_second_without_the_control_layer(tmp_path: Path) -> None:
    with running(tmp_path, control=DeadControl()) as gateway:
        client = gateway.connect()
        client.frame()
        client.subscribe("trade", "FPT")
        assert gateway.worker.stats()["control_up"] is False
        began = time.monotonic()
        gateway.keys.ended["alice001"] = REVOKED
        assert client.frame(1.0)["code"] == "KEY_REVOKED"
        assert time.monotonic() - began < 1.0
        assert closed_with(client)[0] == 4401


@pytest.mark.parametrize("symbols", [("FPT",), ("*",)])
def test_a_removed_entitlement_ends_its_streams_only(gateway: RunningGateway, symbols: tuple[str, ...]) -> None:
    client = gateway.connect()
    client.frame()
    client.subscribe("trade", *symbols)
    client.subscribe("depth", "FPT")
    gateway.publish(cast.trade("FPT", 1), cast.depth("FPT", 1))
    client.records(2)
    gateway.keys.grants["alice"] = cast.grant(cast.rule({"depth"}))
    tell(gateway, None)
    ended = client.frame(1.0)
    assert (ended["code"], ended["ch"], ended["s"], ended["sid"]) == ("NOT_ENTITLED", "trade", "FPT", 1)
    if symbols == ("*",):
        assert client.frame()["s"] == "*"
    gateway.publish(cast.trade("FPT", 2), cast.depth("FPT", 2))
    assert [(one["ch"], one["n"]) for one in client.records(1)] == [("depth", 2)]
    assert [row["ch"] for row in client.ask(op="list")["subscriptions"]] == ["depth"]


def test_a_lower_level_cuts_the_running_stream(gateway: RunningGateway) -> None:
    client = gateway.connect()
    client.frame()
    client.subscribe("depth", "FPT")
    gateway.publish(cast.depth("FPT", 1))
    assert len(client.records(1)[0]["b"]) == 10
    gateway.keys.grants["alice"] = cast.grant(cast.rule({"depth"}, level=1))
    tell(gateway, 1)
    gateway.until(
        lambda: (
            [
                [follow.view.level for follow in one.follows.values()]
                for one in gateway.layer.hub.members.values()
                if one.follows
            ]
            == [[1]]
        ),
        "a cut",
    )
    gateway.publish(cast.depth("FPT", 2))
    assert len(client.records(1)[0]["b"]) == 1


def test_the_end_of_a_contract_needs_no_notice(gateway: RunningGateway) -> None:
    ends_ns = time.time_ns() + 700_000_000
    gateway.keys.grants["alice"] = cast.grant(cast.rule({"trade"}, ends_ns=ends_ns), cast.rule({"depth"}))
    client = gateway.connect()
    client.frame()
    assert client.subscribe("trade", "FPT")["ok"] == ["FPT"]
    ended = client.frame(2.0)
    assert (ended["code"], ended["ch"], time.time_ns() < ends_ns + 1_200_000_000) == ("CONTRACT_ENDED", "trade", True)
    gateway.publish(cast.trade("FPT", 1))
    assert client.ask(op="ping")["t"] == "pong"


def test_a_database_that_fails_leaves_running_sessions_their_grants(gateway: RunningGateway) -> None:
    client = gateway.connect()
    client.frame()
    client.subscribe("trade", "FPT")
    gateway.keys.down = True
    tell(gateway, None)
    gateway.until(lambda: gateway.worker.rights.notices == 1, "the notice is taken")
    gateway.publish(cast.trade("FPT", 1))
    assert client.records(1)[0]["n"] == 1
