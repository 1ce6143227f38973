"""One subscription of a program: what was granted, and the records as an iterator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from mdds_client.continuity import Continuity, Gap
from mdds_client.errors import BadParam
from mdds_client.inbox import Inbox
from mdds_client.parts import Part, SymbolError
from mdds_client.records import Record
from mdds_client.requests import SubscribeRequest

BATCH_MAX = 1_000


class Subscription:
    """Iterate it (`async for record in subscription`), or take what is there with `batch`."""

    def __init__(
        self,
        request: SubscribeRequest,
        *,
        on_gap: Callable[[Gap], None],
        leave: Callable[[Subscription], Awaitable[None]],
        change: Callable[[Subscription, dict[str, Any]], Awaitable[None]] | None = None,
    ) -> None:
        self.request = request
        self.parts: list[Part] = []
        self.gaps = 0
        self.received = 0
        self._on_gap = on_gap
        self._leave = leave
        self._change = change
        self._inbox = Inbox(request.queue_max, drop=request.on_slow == "drop", report=self._gap)
        self._continuity = Continuity(self._gap, snapshot=request.snapshot, origin=request.origin)
        self._batch: list[Record] = []  # taken from the inbox, next record last
        self.closed = False

    # ------------------------------------------------------------------------------ what was asked and granted
    @property
    def channels(self) -> tuple[str, ...]:
        return self.request.channels

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.request.symbols

    @property
    def origin(self) -> str | None:
        return self.request.origin

    @property
    def ok(self) -> tuple[tuple[str, str], ...]:
        """(channel, symbol) pairs that the server granted."""
        return tuple(
            (channel, symbol)
            for channel in self.channels
            for symbol in self.symbols
            if any(part.channel == channel and part.covers(symbol) for part in self.parts)
        )

    @property
    def errors(self) -> tuple[SymbolError, ...]:
        """What the server refused beside what it granted."""
        return tuple(error for part in self.parts for error in part.errors if error.symbol in self.symbols)

    @property
    def state(self) -> str:
        """`waiting` for a first record, `running`, or `closed`; of several channels the one that is furthest."""
        states = {part.state for part in self.parts if part.sid is not None}
        if self.closed or not states:
            return "closed"
        return "running" if "running" in states else states.pop()

    @property
    def granted(self) -> dict[str, dict[str, Any]]:
        """What was granted, by channel: depth, conflation, timeliness."""
        return {part.channel: part.granted for part in self.parts if part.sid is not None}

    # ------------------------------------------------------------------------------------------ consuming
    def __aiter__(self) -> AsyncIterator[Record]:
        return self

    async def __anext__(self) -> Record:
        if not self._batch:
            taken = await self._inbox.take(BATCH_MAX)
            if not taken:
                raise StopAsyncIteration
            taken.reverse()
            self._batch = taken
        return self._batch.pop()

    async def batch(self, records_max: int = BATCH_MAX) -> list[Record]:
        """All that waits, at least one record and at most `records_max`; empty when the subscription has ended."""
        if self._batch:
            taken = self._batch[: -records_max - 1 : -1]
            del self._batch[-records_max:]
            return taken
        return await self._inbox.take(records_max)

    @property
    def waiting(self) -> int:
        """Records received and not consumed."""
        return len(self._inbox) + len(self._batch)

    @property
    def dropped(self) -> int:
        """Records this client dropped at its own bound (`on_slow="drop"`)."""
        return self._inbox.dropped

    @property
    def conflated(self) -> int:
        return self._continuity.conflated

    @property
    def duplicates(self) -> int:
        return self._continuity.duplicates

    async def set(self, **changes: Any) -> None:
        """Change it as it runs (`conflate_ms`, …); raises what the server refuses. `granted` then says what is."""
        if self._change is None:
            raise BadParam("set: not for this kind of subscription")
        await self._change(self, changes)

    async def unsubscribe(self) -> None:
        """Stop the stream; the iterator ends after what was received."""
        if not self.closed:
            await self._leave(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.unsubscribe()

    # ------------------------------------------------------------------------------- called by the client
    @property
    def full(self) -> bool:
        return self._inbox.full

    async def deliver(self, record: Record) -> None:
        """One record of this subscription; waits at the bound of the queue unless it drops."""
        if self._continuity.accept(record.data):
            self.received += 1
            while not self._inbox.offer(record):
                await self._inbox.room()

    def seed(self, record: Record) -> None:
        """A last image that an earlier subscription of this client already has; not bounded by the queue."""
        if self._continuity.accept(record.data):
            self.received += 1
            self._inbox.seed(record)

    def announce(self, channel: str, symbol: str, *, first: int, last: int | None, why: str) -> None:
        self._continuity.announce(channel, symbol, first=first, last=last, why=why)

    def conflating(self, on: bool) -> None:
        self._continuity.conflate(on)

    def reconnected(self) -> None:
        self._continuity.reconnected()

    def resumed(self, channel: str, symbol: str, *, first: int) -> None:
        self._continuity.resumed(channel, symbol, first=first)

    def points(self) -> dict[tuple[str, str], tuple[str, int]]:
        return self._continuity.points()

    def end(self, error: Exception | None = None) -> None:
        self.closed = True
        self._inbox.end(error)

    def _gap(self, gap: Gap) -> None:
        self.gaps += 1
        self._on_gap(gap)

    def __repr__(self) -> str:
        return f"Subscription({', '.join(self.channels)} of {', '.join(self.symbols[:8])})"
