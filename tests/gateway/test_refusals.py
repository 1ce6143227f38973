"""Every refusal on a real socket: its code, its close, and that the session goes on where it may."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from subscriptions.gateway.layer import GatewaySettings
from tests.gateway import cast
from tests.gateway.running import Client, RunningGateway, running


def closed_with(client: Client) -> tuple[int, dict[str, Any]]:
    """The close code and reason, after whatever still comes."""
    with pytest.raises(ConnectionClosed):
        while True:
            client.socket.recv(timeout=5)
    assert client.socket.close_code is not None
    return client.socket.close_code, json.loads(client.socket.close_reason or "{}")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "BAD_JSON"),
        ("{", "BAD_JSON"),
        ("[]", "BAD_JSON"),
        ('"sub"', "BAD_JSON"),
        ("[" * 16_000, "BAD_JSON"),
        ('{"op":"ping","id":NaN}', "BAD_JSON"),
        ('{"op":"ping","op":"list"}', "BAD_JSON"),
        ('{"op":"fly"}', "UNKNOWN_OP"),
        ('{"op":"set","sid":1,"conflate_ms":50}', "UNKNOWN_OP"),
        ("{}", "BAD_PARAM"),
        ('{"op":"sub","ch":"nothing","symbols":["FPT"]}', "BAD_PARAM"),
        ('{"op":"sub","ch":"trade","symbols":[]}', "BAD_PARAM"),
        ('{"op":"sub","ch":"trade","symbols":"FPT"}', "BAD_PARAM"),
        ('{"op":"sub","ch":"trade","symbols":["a b"]}', "BAD_PARAM"),
        ('{"op":"sub","ch":"trade","symbols":["FPT"],"colour":1}', "BAD_PARAM"),
        ('{"op":"sub","ch":"depth","symbols":["FPT"],"depth":7}', "BAD_PARAM"),
        ('{"op":"unsub","sid":99}', "NOT_SUBSCRIBED"),
        (b'{"op":"ping"}', "BAD_JSON"),
    ],
)
def test_a_bad_message_has_its_code_and_the_session_goes_on(
    gateway: RunningGateway, text: str | bytes, code: str
) -> None:
    client = gateway.connect()
    client.frame()
    client.socket.send(text)
    error = client.frame()
    assert (error["t"], error["code"], error["fatal"]) == ("error", code, False)
    assert error["msg"]
    assert client.ask(op="ping", id="after")["id"] == "after"


def test_a_message_over_16_kib_closes_with_1009(gateway: RunningGateway) -> None:
    client = gateway.connect()
    client.frame()
    client.socket.send('{"op":"ping","id":"' + "x" * 16_384 + '"}')
    with pytest.raises(ConnectionClosed):
        client.socket.recv(timeout=5)
    assert client.socket.close_code == 1009


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x81\x02hi", 1002),  # not masked
        (b"\x81\x82\0\0\0\0\xff\xfe", 1007),  # not UTF-8
        (b"\x83\x80\0\0\0\0", 1002),  # a reserved opcode
        (b"\xc1\x80\0\0\0\0", 1002),  # a reserved bit
        (b"\x89\xfe\x00\x7e\0\0\0\0", 1002),  # a ping of 126 bytes
    ],
)
def test_a_frame_against_the_rfc_is_closed_with_its_code(gateway: RunningGateway, frame: bytes, code: int) -> None:
    with socket.create_connection(("127.0.0.1", gateway.server.port), timeout=5) as raw:
        key = base64.b64encode(os.urandom(16)).decode()
        raw.sendall(
            f"GET /stream/v1 HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        received = b""
        while b"welcome" not in received:
            received += raw.recv(4096)
        raw.sendall(frame)
        received = b""
        while chunk := raw.recv(4096):
            received += chunk
    assert received[0] == 0x88, received
    assert struct.unpack("!H", received[2:4])[0] == code


@pytest.mark.parametrize("key", ["wrong", "mdds_live_x", ""])
def test_a_bad_key_is_told_and_closed_with_4401(gateway: RunningGateway, key: str) -> None:
    client = gateway.connect(key)
    error = client.frame()
    assert (error["t"], error["code"], error["fatal"]) == ("error", "AUTH_FAILED", True)
    assert closed_with(client) == (4401, {"code": "AUTH_FAILED", "retry_after_ms": None})


def test_a_key_in_the_url_is_refused_even_when_it_is_right(gateway: RunningGateway) -> None:
    client = gateway.connect(None, path="/stream/v1?key=alice")
    error = client.frame()
    assert (error["code"], "never put a key in a URL" in error["msg"]) == ("AUTH_FAILED", True)
    assert closed_with(client)[0] == 4401


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"subprotocols": ["mdds.v9.cbor"]}, 400),
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_a_foreign_origin_or_protocol_ends_the_handshake(
    gateway: RunningGateway, options: dict[str, Any], status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        gateway.connect(**options)
    assert refused.value.response.status_code == status


def test_the_own_origin_and_no_subprotocol_are_fine(gateway: RunningGateway) -> None:
    client = gateway.connect(origin=f"http://127.0.0.1:{gateway.server.port}", subprotocols=None)
    assert client.frame()["t"] == "welcome"
    assert client.socket.subprotocol is None


def test_rights_are_answered_symbol_by_symbol(gateway: RunningGateway) -> None:
    client = gateway.connect("bob")
    client.frame()
    reply = client.subscribe("trade", "FPT", "SHS", "XXX")
    assert (reply["ok"], [(one["s"], one["code"]) for one in reply["errors"]]) == (
        ["FPT"], [("SHS", "NOT_ENTITLED"), ("XXX", "SYMBOL_UNKNOWN")],
    )  # fmt: skip
    delayed = client.subscribe("stats", "FPT")
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


def test_a_wrong_key_in_auth_closes_with_4401(gateway: RunningGateway) -> None:
    client = gateway.connect(None)
    client.frame()
    error = client.ask(op="auth", id=4, key="wrong")
    assert (error["id"], error["code"], error["fatal"]) == (4, "AUTH_FAILED", True)
    assert closed_with(client)[0] == 4401


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
