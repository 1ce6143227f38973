"""Keeps one connection alive: connects, hands over, waits with jitter, connects again, or gives up for a reason."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from mdds_client.backoff import STABLE_S, reconnect_delay_s
from mdds_client.closings import Closing, Next, unreachable
from mdds_client.connection import Connection, Receiver, open_connection
from mdds_client.errors import ClientClosed, ConnectionFailed, MddsError, RequestTimeout
from mdds_client.handshake import ConnectionEnded
from mdds_client.settings import Settings

log = logging.getLogger("mdds_client")
RATE_PAUSE_MS = 5_000  # the change that a 4102 asks for: at least this much quiet


class State(StrEnum):
    """The states of a client."""

    CONNECTING = "connecting"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class StateChange:
    """A new state, what led to it, and how long until the next attempt (reconnecting only)."""

    state: State
    reason: str = ""
    retry_in_s: float | None = None

    def __str__(self) -> str:
        wait = "" if self.retry_in_s is None else f" in {self.retry_in_s:.1f} s"
        return f"{self.state.value}{wait}" + (f" ({self.reason})" if self.reason else "")


class Link:
    """`restore` is called on each new connection while it is being read; the link is live when it returns."""

    def __init__(
        self,
        settings: Settings,
        receiver: Receiver,
        *,
        restore: Callable[[Connection], Awaitable[None]],
        on_state: Callable[[StateChange], None],
    ) -> None:
        self.state = State.CONNECTING
        self.reconnects = 0
        self.failure: MddsError | None = None
        self._settings = settings
        self._receiver = receiver
        self._restore = restore
        self._on_state = on_state
        self._connection: Connection | None = None
        self._live_since_s: float | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Until the server says not to come back (then `failure` is set) or the task is cancelled."""
        attempt = 0
        clock = asyncio.get_running_loop().time
        self._enter(StateChange(State.CONNECTING, self._settings.url))
        while True:
            self._live_since_s = None
            try:
                closing = await self._one_connection()
            except asyncio.CancelledError:
                self.give_up(ClientClosed("the client was closed"), "closed by the program")
                raise
            if self._live_since_s is not None and clock() - self._live_since_s > STABLE_S:
                attempt = 0
            retry_after_ms = self._retry_after_ms(closing)
            if retry_after_ms is None:
                self.give_up(closing.error, str(closing))
                return
            delay_s = reconnect_delay_s(attempt, draw=random.random(), retry_after_ms=retry_after_ms)
            attempt += 1
            self.reconnects += 1
            self._enter(StateChange(State.RECONNECTING, str(closing), delay_s))
            try:
                await asyncio.sleep(delay_s)
            except asyncio.CancelledError:
                self.give_up(ClientClosed("the client was closed"), "closed by the program")
                raise

    async def live(self) -> Connection:
        """The live connection, waited for; raises the failure once there will be none."""
        while self.state is not State.LIVE or self._connection is None:
            if self.failure is not None:
                raise self.failure
            self._changed.clear()
            await self._changed.wait()
        return self._connection

    async def ended(self) -> None:
        """Wait until the link is closed for good; raises its failure, unless the program closed it."""
        while self.state is not State.CLOSED:
            self._changed.clear()
            await self._changed.wait()
        if self.failure is not None and not isinstance(self.failure, ClientClosed):
            raise self.failure

    async def _one_connection(self) -> Closing:
        try:
            connection = await open_connection(self._settings)
        except ConnectionEnded as ended:
            return ended.closing
        endings: list[Closing] = []
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(connection.read(self._receiver))
                group.create_task(connection.watch())
                group.create_task(self._go_live(connection))
        except* ConnectionEnded as ended_group:
            endings.extend(error.closing for error in ended_group.exceptions if isinstance(error, ConnectionEnded))
        finally:
            self._connection = None
            connection.abandon()
            await connection.close()
        return endings[0]

    async def _go_live(self, connection: Connection) -> None:
        try:
            await self._restore(connection)
        except ConnectionFailed:
            return  # the reader ends for the same reason and says it
        except RequestTimeout as late:
            raise ConnectionEnded(unreachable(late.message)) from None
        self._connection = connection
        self._live_since_s = asyncio.get_running_loop().time()
        self._enter(StateChange(State.LIVE, str(connection.welcome.get("session", ""))))

    def _retry_after_ms(self, closing: Closing) -> int | None:
        """Milliseconds that the next attempt waits at least; None: there is none."""
        first = self.state is State.CONNECTING
        if closing.next is Next.NEVER or (first and not self._settings.wait_for_server):
            return None
        if closing.next is Next.AFTER_CHANGE:
            ask = self._settings.on_change
            if closing.code == 4102 and ask is None:
                return max(closing.retry_after_ms or 0, RATE_PAUSE_MS)
            if ask is None or not ask(closing):
                return None
        return closing.retry_after_ms or 0

    def give_up(self, failure: MddsError, reason: str) -> None:
        self.failure = failure
        self._enter(StateChange(State.CLOSED, reason))

    def _enter(self, change: StateChange) -> None:
        self.state = change.state
        self._changed.set()
        log.info("%s", change)
        try:
            self._on_state(change)
        except Exception:
            log.exception("on_state raised")
