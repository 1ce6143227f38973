"""The ASGI edge: which path leads where, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from channels.testing import HttpCommunicator, WebsocketCommunicator

from mdds_site.asgi import application, gateway_application
from mdds_site.websocket_paths import WebSocketPaths


@pytest.mark.parametrize("path", ["/", "/nothing", "/stream", "/stream/v9", "/portal/other"])
@pytest.mark.parametrize("app", [application, gateway_application], ids=["site", "gateway"])
async def test_an_unknown_websocket_path_is_closed(app: Any, path: str) -> None:
    headers = [(b"host", b"localhost"), (b"origin", b"http://localhost")]
    communicator = WebsocketCommunicator(app, path, headers=headers)
    connected, code = await communicator.connect()
    assert (connected, code) == (False, 4404)


async def test_a_gateway_knows_no_portal() -> None:
    communicator = WebsocketCommunicator(gateway_application, "/portal/live")
    assert await communicator.connect() == (False, 4404)


async def test_the_portal_refuses_a_foreign_origin() -> None:
    headers = [(b"host", b"localhost"), (b"origin", b"https://evil.example")]
    communicator = WebsocketCommunicator(application, "/portal/live", headers=headers)
    connected, _ = await communicator.connect()
    assert not connected


async def test_a_broken_consumer_is_not_taken_for_an_unknown_path() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await WebSocketPaths({"/x/": broken})({"path": "/x/y"}, None, None)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/health/ready", 200),
        ("GET", "/metrics", 200),
        ("GET", "/admin/", 404),
        ("POST", "/metrics", 405),
    ],
)
async def test_the_http_paths_of_a_gateway(method: str, path: str, status: int) -> None:
    answer = await HttpCommunicator(gateway_application, method, path).get_response()
    assert answer["status"] == status
    assert dict(answer["headers"])[b"content-length"] == str(len(answer["body"])).encode()
    if path == "/metrics" and status == 200:
        assert b"# HELP" in answer["body"]
    else:
        assert json.loads(answer["body"])
