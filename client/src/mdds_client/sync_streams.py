"""What the synchronous client hands out: subscriptions, replays and books behind ordinary calls."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from mdds_client.book import Book
from mdds_client.errors import ClientClosed, MddsError
from mdds_client.live_book import LiveBook
from mdds_client.parts import SymbolError
from mdds_client.records import BookUpdate, Depth, Level, Number, Record
from mdds_client.replays import Moment, Replay
from mdds_client.subscription import Subscription

T = TypeVar("T")
log = logging.getLogger("mdds_client")


class Caller(Protocol):
    """Runs a coroutine in the client's thread and waits for what it gives."""

    def call(self, work: Coroutine[Any, Any, T]) -> T: ...


class _Records:
    """An iterator over what a stream of the client's thread brings, a batch a call."""

    def __init__(self, client: Caller, source: Subscription | Replay) -> None:
        self._client = client
        self._source = source
        self._taken: deque[Record] = deque()

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        if not self._taken:
            try:
                self._taken.extend(self._client.call(self._source.batch()))
            except ClientClosed:
                raise StopIteration from None
            if not self._taken:
                raise StopIteration
        return self._taken.popleft()


class SyncSubscription(_Records):
    """Iterate it: `for record in subscription`."""

    def __init__(self, client: Caller, subscription: Subscription) -> None:
        super().__init__(client, subscription)
        self._subscription = subscription

    @property
    def errors(self) -> tuple[SymbolError, ...]:
        """What the server refused beside what it granted."""
        return self._subscription.errors

    @property
    def granted(self) -> dict[str, dict[str, Any]]:
        return self._subscription.granted

    @property
    def ok(self) -> tuple[tuple[str, str], ...]:
        return self._subscription.ok

    @property
    def gaps(self) -> int:
        return self._subscription.gaps

    @property
    def dropped(self) -> int:
        return self._subscription.dropped

    def set(self, **changes: Any) -> None:
        """Change it as it runs (`conflate_ms`, …); raises what the server refuses."""
        self._client.call(self._subscription.set(**changes))

    def unsubscribe(self) -> None:
        """Stop the stream; the iterator ends after what was received."""
        self._client.call(self._subscription.unsubscribe())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ClientClosed):
            self.unsubscribe()

    def call_back(self, callback: Callable[[Record], None]) -> None:
        """Hand each record to `callback` in a thread that ends with the subscription."""
        threading.Thread(target=self._call_back, args=(callback,), name="mdds-callback", daemon=True).start()

    def _call_back(self, callback: Callable[[Record], None]) -> None:
        try:
            for record in self:
                try:
                    callback(record)
                except Exception:
                    log.exception("the callback of %r raised", self._subscription)
        except MddsError as error:
            log.warning("%r ended: %s", self._subscription, error)


class SyncBook:
    """A book that the client's thread keeps up to date; every read is of the last image."""

    def __init__(self, client: Caller, book: LiveBook) -> None:
        self._client = client
        self._book = book

    @property
    def view(self) -> Book:
        return self._book

    @property
    def image(self) -> Depth | None:
        return self._book.image

    @property
    def record(self) -> Depth | BookUpdate | None:
        """The last record applied."""
        return self._book.record

    @property
    def spread(self) -> Number | None:
        return self._book.spread

    @property
    def stale(self) -> bool:
        return self._book.stale

    @property
    def bids(self) -> tuple[Level, ...]:
        return self._book.bids

    @property
    def offers(self) -> tuple[Level, ...]:
        return self._book.offers

    @property
    def best_bid(self) -> Level | None:
        return self._book.best_bid

    @property
    def best_offer(self) -> Level | None:
        return self._book.best_offer

    @property
    def last_update(self) -> str | None:
        return self._book.last_update

    def close(self) -> None:
        self._client.call(self._book.close())


class SyncReplay(_Records):
    """Iterate it: `for record in replay`."""

    def __init__(self, client: Caller, replay: Replay) -> None:
        super().__init__(client, replay)
        self._replay = replay

    @property
    def reply(self) -> dict[str, Any]:
        """What the server answered."""
        return self._replay.reply

    def pause(self) -> None:
        self._client.call(self._replay.pause())

    def resume(self) -> None:
        self._client.call(self._replay.resume())

    def seek(self, to: Moment) -> None:
        self._client.call(self._replay.seek(to))

    def cancel(self) -> None:
        """End it; the iterator ends after what was received."""
        self._client.call(self._replay.cancel())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ClientClosed):
            self.cancel()
