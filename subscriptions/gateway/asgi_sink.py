"""The sink of a seat under any other ASGI server: one writer task that sends one frame at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

Send = Callable[[dict[str, object]], Awaitable[None]]

CUT_S = 2.0  # for a send under way when the session is cut; then it is cancelled


class AsgiSink:
    """Writable while nothing is being sent: what arrives meanwhile waits in the outbox, which is bounded."""

    def __init__(self, send: Send, on_writable: Callable[[], None], *, binary: bool = False) -> None:
        self._send = send
        self._binary = binary
        self._on_writable = on_writable
        self._frames: list[bytes] = []  # of one flush; empty again before the next is taken
        self._close: tuple[int, str] | None = None
        self._wake = asyncio.Event()

    def writable(self) -> bool:
        return not self._frames and self._close is None

    def write(self, frames: list[bytes]) -> None:
        self._frames = frames
        self._wake.set()

    def cut(self, code: int, reason: str) -> None:
        self._close = (code, reason)
        self._wake.set()

    async def run(self) -> None:
        """Owned by the consumer; ends after a cut."""
        sending: asyncio.Future[None] | None = None
        try:
            while self._close is None or (self._frames and sending is None):
                await self._wake.wait()
                self._wake.clear()
                if self._frames:
                    sending = asyncio.ensure_future(self._send_frames(list(self._frames)))
                    await self._until_sent_or_cut(sending)
                    sending = sending if not sending.done() else None
            if sending is not None and not sending.done():
                await asyncio.wait({sending}, timeout=CUT_S)
            code, reason = self._close
            await self._send({"type": "websocket.close", "code": code, "reason": reason})
        finally:
            if sending is not None and not sending.done():
                sending.cancel()

    async def _send_frames(self, frames: list[bytes]) -> None:
        for frame in frames:
            message: dict[str, object] = {"bytes": frame} if self._binary else {"text": frame.decode()}
            await self._send({"type": "websocket.send"} | message)

    async def _until_sent_or_cut(self, sending: asyncio.Future[None]) -> None:
        while not sending.done():
            if self._close is not None:
                return
            woken: asyncio.Future[bool] = asyncio.ensure_future(self._wake.wait())
            either: list[asyncio.Future[Any]] = [sending, woken]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            woken.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await woken
            self._wake.clear()
        self._frames = []
        if sending.exception() is None:
            self._on_writable()
