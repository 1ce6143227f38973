"""A gateway in the test's own process that speaks `mdds.v1` over a real socket and follows a script.

    async def script(session):
        await session.welcome()
        operation = await session.grant()
        await session.records({"ch": "trade", "s": "FPT", "n": 1, "ep": "e1", "p": 98500})
        await session.close(4000, retry_after_ms=10)

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url, "key") as client: ...

Each connection takes the next script; the last one serves all further connections. Without a script the gateway
grants everything and waits. `gateway.operations` is the transcript of what clients sent.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from mdds_client.packed_frames import pack, unpack
from mdds_client.settings import SUBPROTOCOLS

SESSIONS_TIMEOUT_S = 10.0


class FakeSession:
    """One connection of a FakeGateway, driven by its script."""

    def __init__(self, socket: ServerConnection, gateway: FakeGateway) -> None:
        self.socket = socket
        self._gateway = gateway
        self._sids = itertools.count(1)

    @property
    def authorization(self) -> str | None:
        assert self.socket.request is not None
        return self.socket.request.headers.get("Authorization")

    async def welcome(self, **members: Any) -> None:
        await self.send(
            {
                "t": "welcome",
                "v": "1",
                "session": "s_1",
                "subscriber": "acme",
                "limits": {"ops_per_s": 100},
                "hb_s": 15,
                "time": "2026-11-20T02:00:00.000Z",
                **members,
            }
        )

    async def receive(self, op: str | None = None) -> dict[str, Any]:
        """The next operation; with `op`, it must be that one."""
        message = self._read(await self.socket.recv())
        self._gateway.operations.append({name: value for name, value in message.items() if name != "id"})
        if op is not None and message.get("op") != op:
            raise AssertionError(f"expected op {op}, got {message}")
        return message

    async def grant(self, **members: Any) -> dict[str, Any]:
        """Receive a `sub` and grant all of it, or reply with `members` instead."""
        message = await self.receive("sub")
        reply = {"t": "sub", "id": message["id"], "sid": next(self._sids), "ok": message["symbols"], "errors": []}
        await self.send({**reply, "granted": {"timeliness": "realtime"}, **members})
        return message

    async def serve(self) -> None:
        """Answer whatever comes, granting all, until the client leaves."""
        while True:
            message = await self.receive()
            match message["op"]:
                case "sub":
                    await self.send(
                        {
                            "t": "sub",
                            "id": message["id"],
                            "sid": next(self._sids),
                            "granted": {},
                            "ok": message["symbols"],
                            "errors": [],
                        }
                    )
                case "unsub":
                    await self.send({"t": "unsub", "id": message["id"], "sid": message["sid"]})
                case "set":
                    granted = {name: value for name, value in message.items() if name not in ("op", "id", "sid")}
                    await self.send({"t": "set", "id": message["id"], "sid": message["sid"], "granted": granted})
                case "ping":
                    await self.send({"t": "pong", "id": message["id"], "time": datetime.now(UTC).isoformat()})
                case other:
                    await self.send({"t": "error", "id": message.get("id"), "code": "UNKNOWN_OP", "msg": other})

    async def send(self, message: dict[str, Any]) -> None:
        await self.socket.send(self._written(message))

    async def records(self, *records: dict[str, Any]) -> None:
        """One data frame."""
        await self.socket.send(self._written(list(records)))

    @property
    def _packs(self) -> bool:
        return self.socket.subprotocol == SUBPROTOCOLS["msgpack"]

    def _written(self, value: Any) -> str | bytes:
        return pack(value) if self._packs else json.dumps(value, separators=(",", ":"))

    def _read(self, frame: str | bytes) -> dict[str, Any]:
        members: dict[str, Any] = unpack(frame) if isinstance(frame, bytes) else json.loads(frame)
        return members

    async def frame(self, text: str | bytes) -> None:
        """One frame of exactly this text."""
        await self.socket.send(text)

    async def close(self, status: int, **reason: Any) -> None:
        """Close with a status and a JSON reason of these members."""
        await self.socket.close(status, json.dumps(reason) if reason else "")


Script = Callable[[FakeSession], Awaitable[None]]


class FakeGateway:
    """Used as an async context; `failures` raised by scripts are raised again when it ends.

    `rest` answers `GET /api/v1/<path and query>`: path → JSON value, or (status, JSON value). `requests` are the paths
    that were asked for, `keys` what came as `Authorization`.
    """

    def __init__(
        self, *scripts: Script, refuse: tuple[int, str] | None = None, rest: Mapping[str, Any] | None = None
    ) -> None:
        self.requests: list[str] = []
        self.keys: list[str | None] = []
        self._rest = dict(rest or {})
        self.operations: list[dict[str, Any]] = []
        self.sessions: list[FakeSession] = []
        self._scripts = scripts or (_serve_all,)
        self._refuse = refuse
        self._failures: list[BaseException] = []
        self._server: Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/stream/v1"

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._session,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol(name) for name in SUBPROTOCOLS.values()],
            compression=None,
            process_request=self._request,
            ping_interval=None,
            close_timeout=1,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        async with asyncio.timeout(SESSIONS_TIMEOUT_S):
            await self._server.wait_closed()
        if self._failures and error is None:
            raise self._failures[0]

    def _request(self, socket: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/api/v1/"):
            return self._answer(socket, request)
        if self._refuse is None:
            return None
        status, body = self._refuse
        return socket.respond(HTTPStatus(status), body)

    def _answer(self, socket: ServerConnection, request: Request) -> Response:
        path = request.path.removeprefix("/api/v1/")
        self.requests.append(path)
        self.keys.append(request.headers.get("Authorization"))
        unknown = (404, {"t": "error", "code": "NOT_FOUND", "msg": f"nothing at {path}"})
        answer = self._rest.get(path, unknown)
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        response = socket.respond(HTTPStatus(status), json.dumps(body))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response

    async def _session(self, socket: ServerConnection) -> None:
        session = FakeSession(socket, self)
        script = self._scripts[min(len(self.sessions), len(self._scripts) - 1)]
        self.sessions.append(session)
        try:
            await script(session)
            await socket.wait_closed()
        except ConnectionClosed:
            pass  # the client left: what the script would still have said has no listener
        except Exception as failure:
            self._failures.append(failure)
            raise


async def _serve_all(session: FakeSession) -> None:
    await session.welcome()
    await session.serve()
