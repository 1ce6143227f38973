"""The sender: publishes a player's messages in order, one window in flight while the next one fills.

A bus confirms when it is safe to forget, which on the memory bus means that the parser has written its checkpoint. So
the player does not wait for each confirm; it waits when the window is full, and a checkpoint of its own counts only
once everything before it is confirmed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from feeds.blocks import FLAG_END, FLAG_GAP, FLAG_OVERTAKEN, FLAG_STATE, decode_block
from feeds.bus.base import BusDown
from feeds.capture.raw_stage import RawMessage
from replay import metrics
from replay.bus_door import RawDoor
from replay.checkpoints import Checkpoint

WINDOW_BYTES_MAX = 4 << 20  # filling while another one is in flight; past it the player waits, the journal has the rest
CONTROL = FLAG_GAP | FLAG_STATE | FLAG_END | FLAG_OVERTAKEN
WATCH_S = 0.2  # while it waits, the player still reports and hears a cancel
RETRY_NS = 500_000_000
AWAY_NS_MAX = 300 * 1_000_000_000  # a bus that is away longer fails the job; the checkpoint stays


class BusAway(Exception):
    """The bus was down, or did not confirm, for longer than a replay waits."""


class Clock(Protocol):
    """Time, handed in: `now_ns` is the wall clock, `sleep_ns` waits on it."""

    def now_ns(self) -> int: ...

    async def sleep_ns(self, wait_ns: int) -> None: ...


def datagrams(message: RawMessage) -> int:
    """How many messages of the exchange a RAW message holds; gaps, states and ends are our own."""
    block, _end = decode_block(message.body)
    return sum(not entry[2] & CONTROL for entry in block.entries)


class Sender:
    """Ordered publishing with a bounded window. `safe` is the newest checkpoint before which all is confirmed."""

    def __init__(self, bus: RawDoor, *, clock: Clock, on_wait: Callable[[], Awaitable[None]]) -> None:
        self._bus = bus
        self._clock = clock
        self._on_wait = on_wait
        self._filling: list[RawMessage] = []
        self._filling_bytes = 0
        self._mark: Checkpoint | None = None
        self._pump: asyncio.Task[None] | None = None
        self._since_ns = 0
        self.safe: Checkpoint | None = None
        self.messages_confirmed = 0

    async def put(self, messages: Sequence[RawMessage]) -> None:
        """Queue `messages`. Past the window's bound it waits, calling `on_wait` meanwhile. Raises BusAway."""
        self._filling.extend(messages)
        self._filling_bytes += sum(len(message.body) for message in messages)
        self._start()
        while self._filling_bytes > WINDOW_BYTES_MAX:
            await self._watch()

    def mark(self, checkpoint: Checkpoint) -> None:
        """Make `checkpoint` safe once all that was put so far is confirmed."""
        if self._filling or self._running:
            self._mark = checkpoint
            self._start()
        else:
            self.safe = checkpoint

    async def settle(self) -> None:
        """Return when all is confirmed. Raises BusAway."""
        while self._filling or self._running:
            self._start()
            await self._watch()
        self._check()

    async def close(self) -> None:
        """Leave what is unconfirmed: it lies behind the checkpoint and is sent again."""
        if self._pump is not None:
            self._pump.cancel()
            with contextlib.suppress(asyncio.CancelledError, BusAway):
                await self._pump

    @property
    def _running(self) -> bool:
        return self._pump is not None and not self._pump.done()

    def _start(self) -> None:
        self._check()
        if not self._running and (self._filling or self._mark):
            self._pump = asyncio.get_running_loop().create_task(self._run(), name="replay-sender")

    def _check(self) -> None:
        """Raise what ended the pump."""
        if self._pump is not None and self._pump.done():
            self._pump.result()

    async def _watch(self) -> None:
        assert self._pump is not None
        await asyncio.wait({self._pump}, timeout=WATCH_S)
        self._check()
        if self._running and self._clock.now_ns() - self._since_ns > AWAY_NS_MAX:
            raise BusAway(f"the bus has not confirmed for {AWAY_NS_MAX // 1_000_000_000} s")
        await self._on_wait()

    async def _run(self) -> None:
        while self._filling or self._mark:
            window, mark = self._filling, self._mark
            self._filling, self._filling_bytes, self._mark = [], 0, None
            if window:
                await self._confirmed(window)
                confirmed = sum(datagrams(message) for message in window)
                self.messages_confirmed += confirmed
                metrics.MESSAGES_SENT.inc(confirmed)
            self.safe = mark or self.safe

    async def _confirmed(self, window: list[RawMessage]) -> None:
        self._since_ns = self._clock.now_ns()
        while True:
            try:
                return await self._bus.publish_raw(window, replay=True)
            except BusDown as refusal:
                if self._clock.now_ns() - self._since_ns > AWAY_NS_MAX:
                    raise BusAway(f"the bus was down for {AWAY_NS_MAX // 1_000_000_000} s: {refusal}") from refusal
                await self._clock.sleep_ns(RETRY_NS)  # what was sent already goes out again; the parser drops it
