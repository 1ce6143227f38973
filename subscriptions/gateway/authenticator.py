"""Authentication from the gateway's loop: the synchronous edge in a few threads, its errors as protocol errors."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from channels.db import database_sync_to_async

from subscriptions import grants, rights_changes
from subscriptions.authentication import AuthError, anonymous_grant, authenticate, refresh_grants
from subscriptions.entitlements import Grant
from subscriptions.protocol import ProtocolError

log = logging.getLogger(__name__)

LOGIN_THREADS = 4  # logins that touch the database at once; further ones wait for a thread
RIGHTS_THREADS = 2  # of the running sessions' rights: a storm of logins does not delay a revocation
WAIT_S = 8.0  # for a grant, less than the ten seconds a session may stay without one; past it: OVERLOADED

Result = TypeVar("Result")


class Authenticator:
    """A bad key is refused with the protocol's code; a database that fails refuses too (new logins fail closed)."""

    def __init__(self) -> None:
        self._logins = ThreadPoolExecutor(LOGIN_THREADS, thread_name_prefix="logins")
        self._rights = ThreadPoolExecutor(RIGHTS_THREADS, thread_name_prefix="rights")

    async def login(self, secret: str, address: str | None) -> Grant:
        return await self._ask(lambda: authenticate(secret, address), self._logins)

    async def anonymous(self) -> Grant:
        return await self._ask(anonymous_grant, self._logins)

    async def refresh_all(self, key_ids: Sequence[str]) -> dict[str, Grant | ProtocolError]:
        found = await self._ask(lambda: refresh_grants(key_ids), self._rights)
        return {key_id: _of_protocol(answer) for key_id, answer in found.items()}

    async def journal(self, after: int | None) -> list[tuple[int, int | None]]:
        """The journal of changed rights, for `GatewayEdges`."""
        return await self._ask(lambda: rights_changes.read(after), self._rights)

    async def delays(self) -> list[int]:
        """The delays that somebody has a right to, for `GatewayEdges`."""
        return await self._ask(grants.delays, self._rights)

    def close(self) -> None:
        self._logins.shutdown(wait=False, cancel_futures=True)
        self._rights.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, question: Callable[[], Result], pool: ThreadPoolExecutor) -> Result:
        try:
            async with asyncio.timeout(WAIT_S):
                return await database_sync_to_async(question, thread_sensitive=False, executor=pool)()
        except AuthError as error:
            raise ProtocolError(error.code, error.msg, fatal=True) from None
        except Exception as error:
            log.warning("no grant: %s: %s", type(error).__name__, error)
            refused = ProtocolError("OVERLOADED", "keys cannot be checked right now", fatal=True)
            refused.retry_after_ms = random.randint(500, 5_000)
            raise refused from error


def _of_protocol(answer: Grant | AuthError) -> Grant | ProtocolError:
    return ProtocolError(answer.code, answer.msg, fatal=True) if isinstance(answer, AuthError) else answer
