"""The synchronous client: the asynchronous one in a thread of its own, behind ordinary calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

from mdds_client.book import MAIN_BOARD
from mdds_client.client import AsyncClient
from mdds_client.continuity import Gap
from mdds_client.errors import ClientClosed
from mdds_client.link import State, StateChange
from mdds_client.records import Record
from mdds_client.replays import Moment
from mdds_client.requests import ReplayOptions, SubscribeOptions
from mdds_client.settings import ClientOptions
from mdds_client.sync_streams import SyncBook, SyncReplay, SyncSubscription

T = TypeVar("T")


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

    def book(
        self,
        symbol: str,
        *,
        board: str | None = MAIN_BOARD,
        depth: int | Literal["full"] | None = None,
        origin: str | None = None,
        channel: str = "book",
    ) -> SyncBook:
        """A live order book, checked and kept up to date in the background (as AsyncClient.book)."""
        work = self._client.book(symbol, board=board, depth=depth, origin=origin, channel=channel)
        return SyncBook(self, self.call(work))

    def replay(
        self,
        channel: str,
        symbols: str | Iterable[str],
        *,
        start: Moment,
        end: Moment | None = None,
        **options: Unpack[ReplayOptions],
    ) -> SyncReplay:
        """Play the past again (as AsyncClient.replay); iterate what is returned."""
        return SyncReplay(self, self.call(self._client.replay(channel, symbols, start=start, end=end, **options)))

    def snapshot(self, channel: str, symbol: str, *, depth: int | None = None) -> list[Record]:
        """The last records of a stream over REST: one for each board, oldest first. Works unconnected, too."""
        work = self._client.snapshot(channel, symbol, depth=depth)
        return asyncio.run(work) if self._loop is None else self.call(work)

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
