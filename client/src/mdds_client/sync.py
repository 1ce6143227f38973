"""The synchronous client: the asynchronous one in a thread of its own, behind ordinary calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from mdds_client.book import MAIN_BOARD, Book
from mdds_client.client import AsyncClient
from mdds_client.continuity import Gap
from mdds_client.errors import ClientClosed, MddsError
from mdds_client.link import State, StateChange
from mdds_client.live_book import LiveBook
from mdds_client.parts import SymbolError
from mdds_client.records import Depth, Level, Record
from mdds_client.requests import SubscribeOptions
from mdds_client.settings import ClientOptions
from mdds_client.subscription import Subscription

T = TypeVar("T")
log = logging.getLogger("mdds_client")


class Client:
    """`with Client() as client:` connects (`MDDS_URL`, `MDDS_API_KEY`). All methods may be called from any thread.

    `on_gap` and `on_state` are called in the client's own thread and must return at once; they may not call the client.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        on_gap: Callable[[Gap], None] | None = None,
        on_state: Callable[[StateChange], None] | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        self._client = AsyncClient(url, api_key, on_gap=on_gap, on_state=on_state, **options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------------------------------------- life
    def connect(self) -> None:
        """Connect and return once the server welcomed us; raises AuthFailed, ConnectionFailed, …"""
        if self._loop is not None:
            raise RuntimeError("this client is connected already")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, args=(self._loop,), name="mdds-client", daemon=True)
        self._thread.start()
        try:
            self.call(self._client.connect())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close for good and end the thread; iterators end after what they have."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self.call(self._client.close())
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def state(self) -> State:
        return self._client.state

    @property
    def feeds(self) -> dict[str, Any]:
        """The state of each feed as of the last heartbeat."""
        return self._client.feeds

    # ------------------------------------------------------------------------------------- operations
    def subscribe(
        self,
        channel: str | Iterable[str],
        symbols: str | Iterable[str],
        *,
        callback: Callable[[Record], None] | None = None,
        **options: Unpack[SubscribeOptions],
    ) -> SyncSubscription:
        """As AsyncClient.subscribe. With `callback` the records go there, in a thread of this subscription's own."""
        subscription = SyncSubscription(self, self.call(self._client.subscribe(channel, symbols, **options)))
        if callback is not None:
            subscription.call_back(callback)
        return subscription

    def book(self, symbol: str, *, board: str | None = MAIN_BOARD, origin: str | None = None) -> SyncBook:
        """A live order book from `depth` images, kept up to date in the background."""
        return SyncBook(self, self.call(self._client.book(symbol, board=board, origin=origin)))

    def ping(self) -> float:
        """Seconds for one round trip to the server."""
        return self.call(self._client.ping())

    def wait(self) -> None:
        """Wait until the client is closed; raises why, if it was not the program's own doing."""
        self.call(self._client.wait())

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the client's thread and wait for what it gives."""
        loop = self._loop
        if loop is None or loop.is_closed() or threading.current_thread() is self._thread:
            work.close()
            if loop is None or loop.is_closed():
                raise ClientClosed("the client is not connected: use `with Client() as client`, and inside it")
            raise RuntimeError("on_gap and on_state run in the client's own thread and may not call the client")
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    # ----------------------------------------------------------------------------------------- inside
    @staticmethod
    def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()


class SyncSubscription:
    """Iterate it: `for record in subscription`."""

    def __init__(self, client: Client, subscription: Subscription) -> None:
        self._client = client
        self._subscription = subscription
        self._taken: deque[Record] = deque()

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

    def __iter__(self) -> Iterator[Record]:
        return self

    def __next__(self) -> Record:
        if not self._taken:
            try:
                self._taken.extend(self._client.call(self._subscription.batch()))
            except ClientClosed:
                raise StopIteration from None
            if not self._taken:
                raise StopIteration
        return self._taken.popleft()

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

    def __init__(self, client: Client, book: LiveBook) -> None:
        self._client = client
        self._book = book

    @property
    def view(self) -> Book:
        return self._book

    @property
    def image(self) -> Depth | None:
        return self._book.image

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
