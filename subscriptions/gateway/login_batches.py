"""Asks for the grants of many logins at once: those that come while others are asked for wait and go together.

Nothing is remembered: every login is answered from rows that were read after it came, whatever the database said of
the same key a moment before. A login by itself is asked for at once; in a storm a question costs as much for a
hundred logins as for one. When the database is away all of a question fail.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from channels.db import database_sync_to_async

from subscriptions.auth_error import AuthError
from subscriptions.authentication import Login
from subscriptions.entitlements import Grant

log = logging.getLogger(__name__)

Answer = Grant | AuthError

AT_ONCE = 2  # questions under way: one that hangs does not hold up the other
LOGINS_MAX = 100  # in one question: its answer is made within some tens of ms, whoever presents what
WAITING_MAX = 20_000  # logins that wait, as many as sessions of a process; past it: Full, nobody is asked


class Full(RuntimeError):
    """So many logins wait already that one more would not be answered in time."""


class LoginBatches:
    def __init__(self, ask: Callable[[Sequence[Login]], Sequence[Answer]], *, executor: Executor) -> None:
        self._ask, self._executor = ask, executor
        self._waiting: deque[tuple[Login, asyncio.Future[Answer]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self.questions = self.logins = 0

    async def answer(self, login: Login) -> Answer:
        """What its question raises, or Full."""
        if len(self._waiting) >= WAITING_MAX:
            raise Full(f"{WAITING_MAX} logins wait")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((login, future))
        self._go_on()
        return await future

    def close(self) -> None:
        """Those that wait are cancelled with their sessions; the questions under way are given up."""
        for task in self._under_way:
            task.cancel()

    def _go_on(self) -> None:
        while self._waiting and len(self._under_way) < AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._one_question(), name="logins")
            self._under_way.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.result()
            self._go_on()

    async def _one_question(self) -> None:
        """Begins a turn of the loop after its first login: whoever came in the same turn is in it."""
        taken = self._taken()
        if not taken:
            return
        self.questions += 1
        self.logins += len(taken)
        ask = database_sync_to_async(self._ask, thread_sensitive=False, executor=self._executor)
        try:
            answers = await ask([login for login, _ in taken])
        except Exception as error:
            log.warning("%d logins without a grant: %s: %s", len(taken), type(error).__name__, error)
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
            return
        except asyncio.CancelledError:
            for _, future in taken:
                future.cancel()
            raise
        for (_, future), answer in zip(taken, answers, strict=True):
            if not future.done():  # its client has left, or waited too long
                future.set_result(answer)

    def _taken(self) -> list[tuple[Login, asyncio.Future[Answer]]]:
        """The oldest that still wait for an answer."""
        taken: list[tuple[Login, asyncio.Future[Answer]]] = []
        while self._waiting and len(taken) < LOGINS_MAX:
            one = self._waiting.popleft()
            if not one[1].done():
                taken.append(one)
        return taken
