"""Every refusal on a real socket: its code, its close, and that the session goes on where it may."""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from subscriptions.gateway import server
from subscriptions.gateway.layer import GatewaySettings
from tests.gateway import cast
from tests.gateway.running import RunningGateway, closed_with, open_raw, running


def test_rights_are_answered_symbol_by_symbol(gateway: RunningGateway) -> None:
    client = gateway.connect("bob")
    client.frame()
    reply = client.subscribe("trade", "FPT", "SHS", "XXX")
    assert (reply["ok"], [(one["s"], one["code"]) for one in reply["errors"]]) == (
        ["FPT"], [("SHS", "NOT_ENTITLED"), ("XXX", "SYMBOL_UNKNOWN")],
    )  # fmt: skip
    delayed = client.subscribe("stats", "FPT", timeliness="realtime")
    assert (delayed["sid"], delayed["ok"], delayed["errors"][0]["code"]) == (None, [], "DELAYED_ONLY")
    assert client.subscribe("trade", "*")["errors"][0]["code"] == "BAD_PARAM"  # FPT is followed by name
    client.ask(op="unsub", id=1, sid=1)
    assert client.subscribe("trade", "*")["errors"][0]["code"] == "NOT_ENTITLED"  # his rule names its symbols
    gateway.publish(cast.trade("FPT", 1), cast.trade("SHS", 1, m="STX"), cast.depth("SHS", 1, m="STX"))
    assert client.subscribe("depth", "*")["ok"] == ["*"]  # on STO only
    gateway.publish(cast.depth("SHS", 2, m="STX"), cast.depth("VNM", 1), cast.depth("MOVED", 1, m="STX"))
    assert [one["s"] for one in client.records(1)] == ["VNM"]


def test_a_stream_that_turns_out_to_be_of_another_market_ends(gateway: RunningGateway) -> None:
    client = gateway.connect("bob")
    client.frame()
    client.subscribe("depth", "FPT")
    gateway.publish(cast.depth("FPT", 1), cast.depth("FPT", 2, m="STX"), cast.depth("FPT", 3))
    assert [one["n"] for one in client.records(1)] == [1]
    notice = client.frame()
    assert notice == {
        "t": "notice", "code": "NOT_ENTITLED", "sid": 1, "ch": "depth", "s": "FPT", "action": "unsubscribed",
        "state": "closed",
    }  # fmt: skip


def test_limits_of_symbols_and_sessions(gateway: RunningGateway) -> None:
    tight = dataclasses.replace(cast.LIMITS, symbols=2, sessions=1)
    gateway.keys.grants["alice"] = dataclasses.replace(cast.alice(), limits=tight)
    client = gateway.connect()
    client.frame()
    reply = client.subscribe("trade", "FPT", "VNM", "SHS")
    assert (reply["ok"], reply["errors"][0]["code"]) == (["FPT", "VNM"], "SYMBOL_LIMIT")
    second = gateway.connect()
    assert second.frame()["code"] == "SESSION_LIMIT"
    code, reason = closed_with(second)
    assert (code, reason["code"], reason["retry_after_ms"] >= 500) == (4102, "SESSION_LIMIT", True)


def test_operations_above_the_rate_are_delayed_then_refused_then_closed(gateway: RunningGateway) -> None:
    gateway.keys.grants["alice"] = dataclasses.replace(
        cast.alice(), limits=dataclasses.replace(cast.LIMITS, ops_per_s=100)
    )
    client = gateway.connect()
    client.frame()
    codes = []
    for number in range(900):
        client.send(op="ping", id=number)
    with pytest.raises(ConnectionClosed):
        while True:
            frame = client.frame(10)
            codes.append(frame.get("code", frame["t"]))
    assert set(codes) == {"pong", "RATE_LIMIT"}
    assert codes.index("RATE_LIMIT") >= 500  # a second's burst, then five seconds' worth only delayed
    assert (client.socket.close_code, json.loads(client.socket.close_reason)["code"]) == (4102, "RATE_LIMIT")


def test_without_a_key_public_products_only_and_auth_upgrades(gateway: RunningGateway) -> None:
    client = gateway.connect(None)
    assert client.frame()["subscriber"] == "anonymous"
    gateway.publish(cast.record("index", "VNINDEX", 1, bd=None, mt="M1"))
    gateway.until(lambda: "VNINDEX" in gateway.layer.hub.symbols, "the index is known")
    assert client.subscribe("index", "VNINDEX")["ok"] == ["VNINDEX"]
    assert client.records(1)[0]["n"] == 1
    assert client.subscribe("trade", "FPT")["errors"][0]["code"] == "AUTH_REQUIRED"
    assert client.ask(op="sub", id=3, ch="trade", symbols=["FPT"], origin="replay:1")["code"] == "AUTH_REQUIRED"
    welcome = client.ask(op="auth", id=4, key="alice")
    assert (welcome["t"], welcome["id"], welcome["subscriber"]) == ("welcome", 4, "acme")
    assert client.subscribe("trade", "FPT")["ok"] == ["FPT"]
    gateway.publish(cast.record("index", "VNINDEX", 2, bd=None, mt="M1"))
    assert client.records(1)[0]["n"] == 2
    assert client.ask(op="auth", id=5, key="bob")["code"] == "BAD_PARAM"


def test_an_unused_session_without_a_key_is_closed(tmp_path: Path) -> None:
    with running(tmp_path, settings=GatewaySettings(authenticate_s=0.5)) as gateway:
        gateway.publish(cast.record("index", "VNINDEX", 1, bd=None, mt="M1"))
        gateway.until(lambda: "VNINDEX" in gateway.layer.hub.symbols, "the index is known")
        idle, used, keyed = gateway.connect(None), gateway.connect(None), gateway.connect()
        used.frame()
        assert used.subscribe("index", "VNINDEX")["ok"]
        assert closed_with(idle) == (4401, {"code": "AUTH_REQUIRED", "retry_after_ms": None})
        keyed.frame()
        assert keyed.ask(op="ping")["t"] == "pong"
        assert used.records(1)[0]["s"] == "VNINDEX"


def test_a_database_that_is_away_refuses_new_logins_and_keeps_sessions(gateway: RunningGateway) -> None:
    client = gateway.connect()
    client.frame()
    client.subscribe("trade", "FPT")
    gateway.keys.down = True
    late = gateway.connect("bob")
    assert late.frame()["code"] == "OVERLOADED"
    code, reason = closed_with(late)
    assert (code, reason["retry_after_ms"] >= 500) == (4000, True)
    gateway.publish(cast.trade("FPT", 1))
    assert client.records(1)[0]["n"] == 1


def test_a_client_that_does_not_answer_pings_is_closed_with_4003(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PING_INTERVAL_S", 0.2)
    monkeypatch.setattr(server, "PING_TIMEOUT_S", 0.3)
    with running(tmp_path) as gateway, open_raw(gateway) as raw:
        received = b""
        while chunk := raw.recv(4096):
            received += chunk
        pings = received.count(b"\x89\x04")
        close = received[received.rindex(b"\x88") :]
        assert (pings, struct.unpack("!H", close[2:4])[0]) == (1, 4003)
        assert json.loads(close[4:])["code"] == "NO_PONG"
