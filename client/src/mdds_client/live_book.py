"""A book that follows its subscription, tells when it changed, and subscribes again when its deltas broke off."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable

from mdds_client.backoff import reconnect_delay_s
from mdds_client.book import MAIN_BOARD, Book
from mdds_client.errors import MddsError
from mdds_client.records import BookUpdate, Depth
from mdds_client.subscription import Subscription

log = logging.getLogger("mdds_client")
SNAPSHOT_S = 2.0  # a snapshot that was asked for may take so long before it is asked for again


class LiveBook(Book):
    """What `await client.book("FPT")` gives: read it whenever, or iterate it to be woken by changes."""

    def __init__(
        self,
        subscription: Subscription,
        *,
        board: str | None = MAIN_BOARD,
        is_live: Callable[[], bool],
        renew: Callable[[Subscription], Awaitable[None]],
    ) -> None:
        super().__init__(subscription.symbols[0], board=board, origin=subscription.origin)
        self.subscription = subscription
        self._is_live = is_live
        self._renew = renew
        self._changed = asyncio.Event()
        self._ended = False
        self._error: MddsError | None = None

    @property
    def stale(self) -> bool:
        """Whether the levels may be old: none yet, the connection is away, or a gap waits for its snapshot."""
        return self.record is None or self.broken is not None or self._ended or not self._is_live()

    async def __aiter__(self) -> AsyncIterator[LiveBook]:
        """The book itself after each change; changes that come while the program is busy are one."""
        seen = 0
        while True:
            while self.updates == seen:
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return
                self._changed.clear()
                await self._changed.wait()
            seen = self.updates
            yield self

    async def close(self) -> None:
        await self.subscription.unsubscribe()

    async def follow(self) -> None:
        """Apply what the subscription brings until it ends; run by the client."""
        clock = asyncio.get_running_loop().time
        tries, next_s = 0, float("-inf")
        try:
            while True:
                try:
                    async with asyncio.timeout_at(None if self.broken is None else max(next_s, clock() + 0.05)):
                        records = await self.subscription.batch()
                    if not records:
                        return
                except TimeoutError:
                    records = []
                for record in records:
                    if isinstance(record, Depth | BookUpdate) and self.apply(record):
                        self._changed.set()
                if self.broken is None:
                    tries = 0 if clock() > next_s else tries
                elif clock() >= next_s and self._is_live():
                    # At once the first time, then with jitter: a book that never fits asks rarely.
                    next_s = clock() + SNAPSHOT_S + reconnect_delay_s(tries, draw=random.random())
                    tries += 1
                    await self._again()
        except MddsError as error:
            self._error = error
        finally:
            self._ended = True
            self._changed.set()

    async def _again(self) -> None:
        """Ask for a snapshot."""
        log.info("%s: subscribing again: %s", self.symbol, self.broken)
        try:
            await self._renew(self.subscription)
        except MddsError as error:
            log.warning("%s: %s", self.symbol, error)
