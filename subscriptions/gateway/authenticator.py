"""Authentication from the gateway's loop: the synchronous edge in a few threads, its errors as protocol errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from channels.db import database_sync_to_async

from subscriptions import grants, rights_changes, tokens
from subscriptions.authentication import AuthError, authenticate_all, note_use, refresh_grants
from subscriptions.entitlements import Grant
from subscriptions.gateway import login_batches
from subscriptions.protocol import ProtocolError

log = logging.getLogger(__name__)

RIGHTS_THREADS = 2  # of the running sessions' rights: a storm of logins does not delay a revocation
WAIT_S = 8.0  # for a grant, less than the ten seconds a session may stay without one; past it: OVERLOADED
SHARED_MAX = 10_000  # keys whose sessions share one grant; past it: those of the key asked for longest ago do not
NOTE_AFTER_S = 1.0  # from a key's login until its use is written
NOTE_EVERY_S = 60.0  # between two writes for a key
NOTES_MAX = 10_000  # keys whose use waits to be written; past it: that of further ones is not

Result = TypeVar("Result")


class Authenticator:
    """A bad key is refused with the protocol's code; a database that fails refuses too (new logins fail closed)."""

    def __init__(self) -> None:
        self._logins = ThreadPoolExecutor(login_batches.AT_ONCE, thread_name_prefix="logins")
        self._rights = ThreadPoolExecutor(RIGHTS_THREADS, thread_name_prefix="rights")
        self.batches = login_batches.LoginBatches(authenticate_all, executor=self._logins)
        self._shared: OrderedDict[str, Grant] = OrderedDict()
        self._to_note: set[str] = set()
        self._noted_s: dict[str, float] = {}
        self._noting: asyncio.Task[None] | None = None

    async def login(self, secret: str, address: str | None) -> Grant:
        return await self._login(secret, address)

    async def anonymous(self) -> Grant:
        return await self._login(None, None)

    async def refresh_all(self, key_ids: Sequence[str]) -> dict[str, Grant | ProtocolError]:
        found = await self._ask(lambda: refresh_grants(key_ids))
        return {key_id: self._taken(answer) for key_id, answer in found.items()}

    async def journal(self, after: int | None) -> list[tuple[int, int | None]]:
        """The journal of changed rights, for `GatewayEdges`."""
        return await self._ask(lambda: rights_changes.read(after))

    async def delays(self) -> list[int]:
        """The delays that somebody has a right to, for `GatewayEdges`."""
        return await self._ask(grants.delays)

    def close(self) -> None:
        self.batches.close()
        if self._noting is not None:
            self._noting.cancel()
        self._logins.shutdown(wait=False, cancel_futures=True)
        self._rights.shutdown(wait=False, cancel_futures=True)

    async def _login(self, secret: str | None, address: str | None) -> Grant:
        answer = self._taken(await _in_time(self.batches.answer((secret, address))))
        if isinstance(answer, ProtocolError):
            raise answer
        if secret is not None and not tokens.looks_like_token(secret):
            self._used(answer.key_id)
        return answer

    def _used(self, key_id: str) -> None:
        """Written a moment later, with others: a login waits for no write, and none fails by one."""
        now_s = time.monotonic()
        if now_s - self._noted_s.get(key_id, -NOTE_EVERY_S) < NOTE_EVERY_S or len(self._to_note) >= NOTES_MAX:
            return
        self._to_note.add(key_id)
        if self._noting is None:
            self._noting = asyncio.get_running_loop().create_task(self._note(), name="keys used")

    async def _note(self) -> None:
        try:
            while self._to_note:
                await asyncio.sleep(NOTE_AFTER_S)
                some, self._to_note = self._to_note, set()
                now_s = time.monotonic()
                still = {key: at_s for key, at_s in self._noted_s.items() if now_s - at_s < NOTE_EVERY_S}
                self._noted_s = still | dict.fromkeys(some, now_s)
                with contextlib.suppress(ProtocolError):  # said in the log; the next login of the key writes it
                    await self._ask(lambda some=some: note_use(some))
        finally:
            self._noting = None

    async def _ask(self, question: Callable[[], Result]) -> Result:
        asked = database_sync_to_async(question, thread_sensitive=False, executor=self._rights)
        try:
            return await _in_time(asked())
        except ProtocolError as error:
            log.warning("no rights: %r", error.__cause__)
            raise

    def _taken(self, answer: Grant | AuthError) -> Grant | ProtocolError:
        """Equal grants of a key become one object: ten thousand sessions of it hold one, and to compare is cheap.

        What a grant says is always the answer just read; this decides only which of two equal objects is kept.
        """
        if isinstance(answer, AuthError):
            return ProtocolError(answer.code, answer.msg, fatal=True)
        known = self._shared.pop(answer.key_id, None)
        if known is None or known != answer:
            known = answer
        self._shared[answer.key_id] = known
        if len(self._shared) > SHARED_MAX:
            self._shared.popitem(last=False)
        return known


async def _in_time(asked: Awaitable[Result]) -> Result:
    try:
        async with asyncio.timeout(WAIT_S):
            return await asked
    except Exception as error:
        refused = ProtocolError("OVERLOADED", "keys cannot be checked right now", fatal=True)
        refused.retry_after_ms = random.randint(500, 5_000)
        raise refused from error
