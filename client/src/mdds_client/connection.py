"""One open connection: operations with their replies, and the frames that arrive in between."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from mdds_client.backoff import Pace
from mdds_client.closings import unreachable
from mdds_client.encodings import Frames, frames_of
from mdds_client.errors import ConnectionFailed, MddsError, RequestTimeout
from mdds_client.frames import Control, Data
from mdds_client.handshake import ConnectionEnded, closing_of, error_in, open_socket, receive_welcome
from mdds_client.records import Record
from mdds_client.settings import Settings

HEARTBEAT_S = 15.0  # when the welcome names none
PENDING_MAX = 256  # operations without a reply; past it the next one is refused here


class Receiver(Protocol):
    """Who takes what arrives. `take_records` may wait: nothing is read from the socket meanwhile."""

    async def take_records(self, records: list[Record]) -> None: ...

    def take_control(self, members: dict[str, Any]) -> None: ...

    def take_unreadable(self, count: int, why: str) -> None: ...

    def waits_for(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    """An operation without a reply yet."""

    reply: asyncio.Future[dict[str, Any]]
    on_reply: Callable[[dict[str, Any]], None] | None


class Connection:
    """Created by `open_connection`; `read` and `watch` run until it ends and raise ConnectionEnded."""

    def __init__(
        self, socket: ClientConnection, welcome: dict[str, Any], *, settings: Settings, frames: Frames
    ) -> None:
        limits = welcome.get("limits")
        ops_per_s = limits.get("ops_per_s") if isinstance(limits, dict) else None
        heartbeat_s = welcome.get("hb_s")
        self.welcome = welcome
        self.silence_s_max = _silence_s(heartbeat_s if isinstance(heartbeat_s, int | float) else HEARTBEAT_S)
        self._socket = socket
        self._frames = frames
        self._timeout_s = settings.request_timeout_s
        self._pace = Pace(ops_per_s if isinstance(ops_per_s, int | float) else None)
        self._ids = itertools.count(1)
        self._pending: dict[int, _Waiting] = {}
        self._pings: list[int] = []
        self._reading_since_s: float | None = None
        self._last_error: MddsError | None = None
        self._receiver: Receiver | None = None

    async def read(self, receiver: Receiver) -> None:
        """Hand over all that arrives until the connection ends."""
        self._receiver = receiver
        clock = asyncio.get_running_loop().time
        while True:
            self._reading_since_s = clock()
            try:
                received = await self._socket.recv()
            except ConnectionClosed as closed:
                raise ConnectionEnded(closing_of(closed, self._last_error)) from None
            finally:
                self._reading_since_s = None
            frame = self._frames.read(received)
            if isinstance(frame, Data):
                if frame.bad:
                    receiver.take_unreadable(frame.bad, "elements of a data frame that are no records")
                await receiver.take_records(frame.records)
            elif isinstance(frame, Control):
                await self._control(frame.members, receiver)
            else:
                receiver.take_unreadable(1, frame.why)

    async def watch(self) -> None:
        """End a connection on which nothing came for two heartbeats although we were reading."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(self.silence_s_max / 8)
            since_s = self._reading_since_s
            if since_s is not None and clock() - since_s > self.silence_s_max:
                self._socket.transport.abort()
                raise ConnectionEnded(unreachable(f"the server was silent for {self.silence_s_max:g} s"))

    async def request(
        self, operation: dict[str, Any], *, on_reply: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        """Send an operation, wait for its reply; raises what the server's error mirrors, or RequestTimeout.

        `on_reply` gets the reply before anything that follows it on the wire is read.
        """
        if len(self._pending) >= PENDING_MAX:
            raise RequestTimeout(f"{PENDING_MAX} operations wait for their replies already")
        await asyncio.sleep(self._pace.wait_s(asyncio.get_running_loop().time()))
        number = next(self._ids)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[number] = _Waiting(reply, on_reply)
        if operation["op"] == "ping":
            self._pings.append(number)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._send({**operation, "id": number})
                return await reply
        except TimeoutError:
            raise RequestTimeout(self._why_late(operation)) from None
        finally:
            del self._pending[number]
            if number in self._pings:
                self._pings.remove(number)

    async def close(self) -> None:
        """Say goodbye (1000) and wait for the other side, at most two seconds."""
        await self._socket.close()

    def abandon(self) -> None:
        """Fail what still waits for a reply: none will come on this connection."""
        for waiting in self._pending.values():
            if not waiting.reply.done():
                waiting.reply.set_exception(ConnectionFailed("the connection was lost before the reply"))

    async def _control(self, members: dict[str, Any], receiver: Receiver) -> None:
        kind, number = members["t"], members.get("id")
        if kind == "pong" and number is None and self._pings:
            number = self._pings[0]
        waiting = self._pending.get(number) if isinstance(number, int) else None
        if waiting is not None and waiting.reply.done():
            waiting = None
        if kind == "error":
            error = error_in(members)
            if members.get("fatal"):
                self._last_error = error
            if waiting is not None:
                waiting.reply.set_exception(error)
                return
        elif waiting is not None:
            if waiting.on_reply is not None:
                waiting.on_reply(members)
            waiting.reply.set_result(members)
            return
        elif kind == "sub" and isinstance(members.get("sid"), int):
            # The reply to a subscribe that was given up: without this the server would stream it for nobody.
            await self._send({"op": "unsub", "id": next(self._ids), "sid": members["sid"]})
            return
        receiver.take_control(members)

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            await self._socket.send(self._frames.write(message))
        except ConnectionClosed:
            raise ConnectionFailed("the connection was lost before the operation was sent") from None

    def _why_late(self, operation: dict[str, Any]) -> str:
        text = f"no reply to {operation['op']} within {self._timeout_s:g} s"
        blocker = self._receiver.waits_for() if self._receiver is not None else None
        return f"{text}: nothing is read while {blocker}" if blocker else text


async def open_connection(settings: Settings) -> Connection:
    """A welcomed connection; raises ConnectionEnded."""
    frames = frames_of(settings)
    socket = await open_socket(settings)
    try:
        welcome = await receive_welcome(socket, frames, timeout_s=settings.open_timeout_s)
    except asyncio.CancelledError:
        socket.transport.abort()
        raise
    return Connection(socket, welcome, settings=settings, frames=frames)


def _silence_s(heartbeat_s: float) -> float:
    """Two heartbeats and a little: 33 s at the usual 15 s."""
    return 2 * heartbeat_s + min(3.0, heartbeat_s)
