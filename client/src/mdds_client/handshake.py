"""Opens one authenticated WebSocket, or says with a Closing why there is none."""

from __future__ import annotations

import asyncio
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol
from websockets.version import version as websockets_version

from mdds_client.closings import Closing, Next, read_close, read_refusal, unreachable
from mdds_client.encodings import Frames
from mdds_client.errors import ConnectionFailed, MddsError, error_of
from mdds_client.frames import Control
from mdds_client.settings import FRAME_BYTES_MAX, SUBPROTOCOLS, Settings, is_loopback, stream_url
from mdds_client.version import __version__

FRAMES_QUEUED_MAX = 16  # past it the socket is not read any more and TCP pushes back on the server
CLOSE_TIMEOUT_S = 2.0


class ConnectionEnded(Exception):
    """A connection is over or never was: `closing` says why and what may follow."""

    def __init__(self, closing: Closing) -> None:
        super().__init__(str(closing))
        self.closing = closing


async def open_socket(settings: Settings) -> ClientConnection:
    """Connect and negotiate; raises ConnectionEnded."""
    try:
        socket = await connect(stream_url(settings), **_arguments(settings))
    except InvalidStatus as refused:
        response = refused.response
        body = bytes(response.body or b"").decode("utf-8", "replace")[:4096]
        closing = read_refusal(response.status_code, body, retry_after_s=response.headers.get("Retry-After"))
    except TimeoutError:
        closing = unreachable(f"no answer from {settings.url} within {settings.open_timeout_s:g} s")
    except (OSError, InvalidMessage, EOFError, ConnectionClosed) as error:
        closing = unreachable(f"cannot connect to {settings.url}: {_plain(error)}")
    except (InvalidHandshake, WebSocketException) as error:
        closing = Closing(None, Next.NEVER, ConnectionFailed(f"{settings.url} is no MDDS stream: {error}"))
    else:
        wanted = SUBPROTOCOLS[settings.encoding]
        if socket.subprotocol == wanted:
            return socket
        await socket.close()
        found = socket.subprotocol or "none"
        closing = Closing(
            None, Next.NEVER, ConnectionFailed(f"{settings.url}: expected subprotocol {wanted}, got {found}")
        )
    raise ConnectionEnded(closing)


async def receive_welcome(socket: ClientConnection, encoding: Frames, *, timeout_s: float) -> dict[str, Any]:
    """The server's welcome, the first message once the key is accepted; raises ConnectionEnded."""
    last_error: MddsError | None = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                frame = encoding.read(await socket.recv())
                if not isinstance(frame, Control):
                    continue
                if frame.members["t"] == "welcome":
                    return frame.members
                if frame.members["t"] == "error":
                    last_error = error_in(frame.members)
    except ConnectionClosed as closed:
        raise ConnectionEnded(closing_of(closed, last_error)) from None
    except TimeoutError:
        socket.transport.abort()
        raise ConnectionEnded(unreachable(f"no welcome from the server within {timeout_s:g} s")) from None


def error_in(members: dict[str, Any]) -> MddsError:
    """The exception of an error message or of one entry of a reply's `errors`."""
    retry_after_ms = members.get("retry_after_ms")
    return error_of(
        str(members.get("code", "INTERNAL")),
        str(members.get("msg") or ""),
        retry_after_ms=retry_after_ms if isinstance(retry_after_ms, int) else None,
    )


def closing_of(closed: ConnectionClosed, last_error: MddsError | None) -> Closing:
    """What the end of the socket means; an end without a close frame is 1006."""
    frame = closed.rcvd
    if frame is None and closed.sent is not None and closed.sent.code != 1000:
        frame = closed.sent  # we refused something: too large a frame, bad UTF-8
    return read_close(frame.code if frame else 1006, frame.reason if frame else "", last_error=last_error)


def _arguments(settings: Settings) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "subprotocols": [Subprotocol(SUBPROTOCOLS[settings.encoding])],
        "user_agent_header": f"mdds-client/{__version__} websockets/{websockets_version}",
        "compression": None,
        "open_timeout": settings.open_timeout_s,
        "close_timeout": CLOSE_TIMEOUT_S,
        # A paused reader cannot see pongs, so a ping of ours would kill a slow but healthy consumer; silence is watched
        # through the server's heartbeats instead (Connection.watch).
        "ping_interval": None,
        "max_size": FRAME_BYTES_MAX,
        "max_queue": FRAMES_QUEUED_MAX,
    }
    if settings.api_key is not None:
        arguments["additional_headers"] = {"Authorization": f"Bearer {settings.api_key}"}
    if settings.ssl_context is not None:
        arguments["ssl"] = settings.ssl_context
    if is_loopback(settings.url) and int(websockets_version.split(".")[0]) >= 15:
        arguments["proxy"] = None
    return arguments


def _plain(error: Exception) -> str:
    """The system's words without its numbers: `connection refused`."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror and "multiple exceptions" not in str(error).lower():
        return error.strerror.lower()
    if "refused" in str(error).lower() or "Errno 111" in str(error):
        return "connection refused"
    return str(error) or type(error).__name__
