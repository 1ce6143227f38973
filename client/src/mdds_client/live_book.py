"""A book that follows its subscription and tells when it changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from mdds_client.book import MAIN_BOARD, Book
from mdds_client.errors import MddsError
from mdds_client.records import Depth
from mdds_client.subscription import Subscription


class LiveBook(Book):
    """What `await client.book("FPT")` gives: read it whenever, or iterate it to be woken by changes."""

    def __init__(
        self, subscription: Subscription, *, board: str | None = MAIN_BOARD, is_live: Callable[[], bool]
    ) -> None:
        super().__init__(subscription.symbols[0], board=board, origin=subscription.origin)
        self.subscription = subscription
        self._is_live = is_live
        self._changed = asyncio.Event()
        self._ended = False
        self._error: MddsError | None = None

    @property
    def stale(self) -> bool:
        """Whether the image may be old: none yet, or the connection is away."""
        return self.image is None or self._ended or not self._is_live()

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
        try:
            async for record in self.subscription:
                if isinstance(record, Depth) and self.apply(record):
                    self._changed.set()
        except MddsError as error:
            self._error = error
        finally:
            self._ended = True
            self._changed.set()
