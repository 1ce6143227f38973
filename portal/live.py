"""The live channel: pushes the status of each second to every open page.

One task per process takes the status while anybody looks, and a while longer so that a page that is opened again has
no hole in its charts. A page that reads slowly skips seconds; nobody waits for it, and nothing queues for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth import get_user_model
from django.utils import timezone

from portal.access import may_view
from portal.status import StatusBoard, board

log = logging.getLogger(__name__)

TICK_S = 1.0
LINGER_TICKS = 15 * 60  # how long the charts go on without a page
RIGHTS_TICKS = 30  # how often an open page's user is looked up again
FORBIDDEN = 4403


class Ticker:
    """Takes a frame each second and hands it to whoever waits for the next one."""

    def __init__(self, status: StatusBoard) -> None:
        self._status = status
        self._task: asyncio.Task[None] | None = None
        self._next: asyncio.Future[str] | None = None
        self._watchers = 0

    async def next_frame(self) -> str:
        """The next second's frame."""
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._next = loop.create_future()
            self._task = loop.create_task(self._run(), name="portal-status")
        assert self._next is not None
        self._watchers += 1
        return await asyncio.shield(self._next)

    async def _run(self) -> None:
        idle = 0
        while idle < LINGER_TICKS:
            await asyncio.sleep(TICK_S)
            idle = 0 if self._watchers else idle + 1
            self._watchers = 0
            try:
                frame = await database_sync_to_async(self._status.frame)(timezone.now())
            except Exception:  # the database is away: the pages see no update and say so; the next second tries again
                log.exception("the status could not be taken")
                continue
            waiting, self._next = self._next, asyncio.get_running_loop().create_future()
            if waiting is not None and not waiting.done():
                waiting.set_result(frame)


ticker = Ticker(board)


class StatusConsumer(AsyncWebsocketConsumer):
    """One open page: the charts' history first, then a frame a second."""

    async def connect(self) -> None:
        self._pushing: asyncio.Task[None] | None = None
        if not await self._allowed():
            await self.close(FORBIDDEN)
            return
        await self.accept()
        self._pushing = asyncio.create_task(self._push())

    async def disconnect(self, code: int) -> None:
        if self._pushing is not None:
            self._pushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pushing

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """The page has nothing to say."""

    async def _push(self) -> None:
        await self.send(await database_sync_to_async(board.history)(timezone.now()))
        await self.send(await database_sync_to_async(board.frame)(timezone.now()))
        ticks = 0
        while True:
            await self.send(await ticker.next_frame())
            ticks += 1
            if ticks % RIGHTS_TICKS == 0 and not await self._allowed():
                await self.close(FORBIDDEN)
                return

    async def _allowed(self) -> bool:
        return await database_sync_to_async(_may_look)(self.scope.get("user"))


def _may_look(user: Any) -> bool:
    """Looked up again in the database: a page stays open longer than a right may last."""
    if user is None or not user.is_authenticated:
        return False
    found = get_user_model().objects.filter(pk=user.pk).first()
    return found is not None and may_view(found)
