"""Malformed frames, keys and handshakes on a real socket: each has its code, and the gateway goes on."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from subscriptions.gateway import server
from tests.gateway.running import RunningGateway, closed_with, open_raw


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
        ('{"op":"set","sid":1,"conflate_ms":50}', "NOT_SUBSCRIBED"),
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
    lasting_gateway: RunningGateway, text: str | bytes, code: str
) -> None:
    client = lasting_gateway.connect()
    client.frame()
    client.socket.send(text)
    error = client.frame()
    assert (error["t"], error["code"], error["fatal"]) == ("error", code, False)
    assert error["msg"]
    assert client.ask(op="ping", id="after")["id"] == "after"
    client.socket.close()


def test_a_connection_that_asks_nothing_is_closed(
    lasting_gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "REQUEST_S", 0.3)
    for first in (b"", b"GET /stream/v1 HTTP/1.1\r\nHost: here\r\n"):
        with socket.create_connection(("127.0.0.1", lasting_gateway.server.port), timeout=3) as raw:
            raw.sendall(first)
            with contextlib.suppress(ConnectionResetError):
                assert raw.recv(1) == b""


def test_a_message_over_16_kib_closes_with_1009(lasting_gateway: RunningGateway) -> None:
    client = lasting_gateway.connect()
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
        (b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126, 1002),  # a ping of 126 bytes
    ],
)
def test_a_frame_against_the_rfc_is_closed_with_its_code(
    lasting_gateway: RunningGateway, frame: bytes, code: int
) -> None:
    with open_raw(lasting_gateway) as raw:
        raw.sendall(frame)
        received = b""
        while chunk := raw.recv(4096):
            received += chunk
    assert received[0] == 0x88, received
    assert struct.unpack("!H", received[2:4])[0] == code


@pytest.mark.parametrize("key", ["wrong", "mdds_live_x", ""])
def test_a_bad_key_is_told_and_closed_with_4401(lasting_gateway: RunningGateway, key: str) -> None:
    client = lasting_gateway.connect(key)
    error = client.frame()
    assert (error["t"], error["code"], error["fatal"]) == ("error", "AUTH_FAILED", True)
    assert closed_with(client) == (4401, {"code": "AUTH_FAILED", "retry_after_ms": None})


def test_a_key_in_the_url_is_refused_even_when_it_is_right(lasting_gateway: RunningGateway) -> None:
    client = lasting_gateway.connect(None, path="/stream/v1?key=alice")
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
    lasting_gateway: RunningGateway, options: dict[str, Any], status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        lasting_gateway.connect(**options)
    assert refused.value.response.status_code == status


def test_the_own_origin_and_no_subprotocol_are_fine(lasting_gateway: RunningGateway) -> None:
    client = lasting_gateway.connect(origin=f"http://127.0.0.1:{lasting_gateway.server.port}", subprotocols=None)
    assert client.frame()["t"] == "welcome"
    assert client.socket.subprotocol is None
    client.socket.close()


def test_a_wrong_key_in_auth_closes_with_4401(lasting_gateway: RunningGateway) -> None:
    client = lasting_gateway.connect(None)
    client.frame()
    error = client.ask(op="auth", id=4, key="wrong")
    assert (error["id"], error["code"], error["fatal"]) == (4, "AUTH_FAILED", True)
    assert closed_with(client)[0] == 4401
