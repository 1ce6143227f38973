"""The asynchronous client: subscriptions that outlive their connections."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, Unpack

from mdds_client.book import MAIN_BOARD
from mdds_client.clock import ClockReading
from mdds_client.connection import Connection
from mdds_client.continuity import Gap
from mdds_client.errors import ConnectionFailed, Internal, MddsError
from mdds_client.granting import Granting
from mdds_client.link import Link, State, StateChange
from mdds_client.live_book import LiveBook
from mdds_client.records import Record
from mdds_client.replays import Moment, Replay, ReplayRequest, check_speed, moment
from mdds_client.requests import ReplayOptions, SubscribeOptions, SubscribeRequest, subscribe_request
from mdds_client.rest import Rest
from mdds_client.settings import ClientOptions, client_settings
from mdds_client.streams import Streams
from mdds_client.subscription import Subscription

log = logging.getLogger("mdds_client")
Callback: TypeAlias = Callable[[Record], Awaitable[None] | None]


class AsyncClient:
    """`async with AsyncClient() as client:` connects (`MDDS_URL`, `MDDS_API_KEY`) and stays connected.

    `on_gap` gets each Gap and `on_state` each StateChange, in the event loop: both must return at once.
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
        self._settings = client_settings(url, api_key, options=options)
        self._on_gap = on_gap
        self._on_state = on_state
        self._streams = Streams(self._settings.on_notice)
        self._granting = Granting(self._streams, resume=self._settings.resume)
        self._rest: Rest | None = None
        self._link: Link | None = None
        self._group: asyncio.TaskGroup | None = None
        self._task: asyncio.Task[None] | None = None
        self.welcome: dict[str, Any] = {}

    # ------------------------------------------------------------------------------------------- life
    async def connect(self) -> None:
        """Connect and return once the server welcomed us; raises AuthFailed, ConnectionFailed, …"""
        if self._task is not None:
            raise RuntimeError("this client is connected already; a client connects once")
        self._link = Link(
            self._settings, self._streams, restore=self._restore, on_state=self._on_state or (lambda change: None)
        )
        self._task = asyncio.create_task(self._main(self._link), name="mdds-client")
        try:
            await self._link.live()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close for good: iterators end after what they have."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def wait(self) -> None:
        """Wait until the client is closed; raises why, if it was not the program's own doing."""
        await self._running().ended()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def state(self) -> State:
        return State.CONNECTING if self._link is None else self._link.state

    @property
    def feeds(self) -> dict[str, Any]:
        """The state of each feed as of the last heartbeat."""
        return self._streams.feeds

    @property
    def reconnects(self) -> int:
        return 0 if self._link is None else self._link.reconnects

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        return tuple(self._streams.routes)

    # ------------------------------------------------------------------------------------- operations
    async def subscribe(
        self,
        channel: str | Iterable[str],
        symbols: str | Iterable[str],
        *,
        callback: Callback | None = None,
        **options: Unpack[SubscribeOptions],
    ) -> Subscription:
        """Subscribe one or several channels of some symbols (`"*"` for all).

        Options: depth, boards, snapshot, origin (`replay:12`), conflate_ms, on_slow, fields, timeliness, queue_max.
        Returns when the server has
        answered; what it refused beside what it granted is in `errors`; all refused raises the first refusal.
        With `callback` (a function or coroutine function) the records go there, one at a time, in order.
        """
        subscription = self._subscription(subscribe_request(channel, symbols, options=options))
        await self._establish(subscription)
        if callback is not None:
            self._start(_pump(subscription, callback))
        return subscription

    async def book(
        self,
        symbol: str,
        *,
        board: str | None = MAIN_BOARD,
        depth: int | Literal["full"] | None = None,
        origin: str | None = None,
        channel: str = "book",
    ) -> LiveBook:
        """A live order book from snapshots and deltas, each checked; a gap or a wrong checksum subscribes again.

        `board` None shows the board that spoke last; `channel="depth"` keeps it from images instead.
        """
        subscription = self._subscription(
            subscribe_request(channel, symbol, options={"origin": origin, "depth": depth})
        )
        await self._establish(subscription)
        book = LiveBook(subscription, board=board, is_live=lambda: self.state is State.LIVE, renew=self.renew)
        self._start(book.follow())
        return book

    async def renew(self, subscription: Subscription) -> None:
        """Subscribe its streams again, so that they begin anew with their snapshots or last images."""
        await self._granting.renew(await self._running().live(), subscription)

    async def replay(
        self,
        channel: str,
        symbols: str | Iterable[str],
        *,
        start: Moment,
        end: Moment | None = None,
        **options: Unpack[ReplayOptions],
    ) -> Replay:
        """Play the past again, to now without an `end`. Options: `speed` (1 as it was, 10 ten times faster, 0 as fast
        as it goes), `then` ("live" goes on with the live stream) and `depth` (of `depth` and `book`)."""
        names = (symbols,) if isinstance(symbols, str) else tuple(dict.fromkeys(symbols))
        request = ReplayRequest(
            channel, names, moment("start", start), None if end is None else moment("end", end),
            check_speed(options.get("speed", 1.0)), options.get("then"), options.get("depth"),
        )  # fmt: skip
        return await self._granting.replay(await self._running().live(), request, on_gap=self._gap, leave=self._leave)

    @property
    def rest(self) -> Rest:
        """The REST interface with the same key; works without a connection."""
        if self._rest is None:
            self._rest = Rest(self._settings)
        return self._rest

    async def snapshot(self, channel: str, symbol: str, *, depth: int | None = None) -> list[Record]:
        """The last records of a stream over REST: one for each board, oldest first."""
        return await self.rest.snapshot(channel, symbol, depth=depth)

    async def ping(self) -> float:
        """Seconds for one round trip to the server."""
        return (await self.server_clock()).round_trip_s

    async def heartbeat(self) -> None:
        """Wait for the server's next heartbeat, which comes when nothing else does; `feeds` is then of now."""
        self._streams.heartbeat.clear()
        await self._streams.heartbeat.wait()

    async def server_clock(self) -> ClockReading:
        """One round trip, and what the server's clock said meanwhile."""
        connection = await self._running().live()
        sent_ns, begun_ns = time.time_ns(), time.monotonic_ns()
        reply = await connection.request({"op": "ping"})
        said = reply.get("time")
        return ClockReading(sent_ns, sent_ns + time.monotonic_ns() - begun_ns, said if isinstance(said, str) else None)

    # ----------------------------------------------------------------------------------------- inside
    def _running(self) -> Link:
        if self._link is None:
            raise RuntimeError("not connected: use `async with AsyncClient() as client` or `await client.connect()`")
        return self._link

    def _subscription(self, request: SubscribeRequest) -> Subscription:
        return Subscription(request, on_gap=self._gap, leave=self._leave, change=self._change)

    async def _change(self, subscription: Subscription, changes: dict[str, Any]) -> None:
        await self._granting.change(await self._running().live(), subscription, changes=changes)

    def _start(self, work: Any) -> None:
        assert self._group is not None
        self._group.create_task(work)

    async def _main(self, link: Link) -> None:
        """Owns every task of the client; ends with the link."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await link.run()
                self._streams.end(link.failure)
        except Exception:
            log.exception("the client failed")
            link.give_up(Internal("the client failed, see its log"), "a fault of the client")
        finally:
            self._streams.end(None)

    async def _establish(self, subscription: Subscription) -> None:
        while True:
            connection = await self._running().live()
            try:
                return await self._granting.establish(connection, subscription)
            except ConnectionFailed:
                subscription.parts.clear()
                await asyncio.sleep(0)  # let the link notice; `live` then waits for the next connection

    async def _leave(self, subscription: Subscription) -> None:
        subscription.end()
        link = self._running()
        await self._granting.leave(await link.live() if link.state is State.LIVE else None, subscription)

    async def _restore(self, connection: Connection) -> None:
        self.welcome = connection.welcome
        await self._granting.restore(connection)

    def _gap(self, gap: Gap) -> None:
        log.info("%s", gap)
        if self._on_gap is not None:
            try:
                self._on_gap(gap)
            except Exception:
                log.exception("on_gap raised")


async def _pump(subscription: Subscription, callback: Callback) -> None:
    """Call back for each record; a callback that raises is logged and the next record follows."""
    try:
        async for record in subscription:
            try:
                result = callback(record)
                if inspect.isawaitable(result):
                    await result
            except Exception:
                log.exception("the callback of %r raised", subscription)
    except MddsError as error:
        log.warning("%r ended: %s", subscription, error)
