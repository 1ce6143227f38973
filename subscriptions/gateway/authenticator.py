"""Authentication from the gateway's loop: the synchronous edge in a few threads, its errors as protocol errors."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from channels.db import database_sync_to_async

from subscriptions.authentication import AuthError, anonymous_grant, authenticate, refresh_grant
from subscriptions.entitlements import Grant
from subscriptions.protocol import ProtocolError

log = logging.getLogger(__name__)

THREADS = 4  # logins that touch the database at once; further ones wait for a thread
WAIT_S = 8.0  # for a grant, less than the ten seconds a session may stay without one; past it: OVERLOADED

Result = TypeVar("Result")


class Authenticator:
    """A bad key is refused with the protocol's code; a database that fails refuses too (new logins fail closed)."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="grants")

    async def login(self, secret: str, address: str | None) -> Grant:
        return await self._ask(lambda: authenticate(secret, address))

    async def anonymous(self) -> Grant:
        return await self._ask(anonymous_grant)

    async def refresh(self, key_id: str) -> Grant:
        return await self._ask(lambda: refresh_grant(key_id))

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, question: Callable[[], Result]) -> Result:
        try:
            async with asyncio.timeout(WAIT_S):
                return await database_sync_to_async(question, thread_sensitive=False, executor=self._pool)()
        except AuthError as error:
            raise ProtocolError(error.code, error.msg, fatal=True) from None
        except Exception as error:
            log.warning("no grant: %s: %s", type(error).__name__, error)
            refused = ProtocolError("OVERLOADED", "keys cannot be checked right now", fatal=True)
            refused.retry_after_ms = random.randint(500, 5_000)
            raise refused from error
