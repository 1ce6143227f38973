"""The intake: PARSED messages from the bus into the layer, each record once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from feeds.bus.base import Delivery, Subscription
from feeds.parser.control import STATES_KEY
from subscriptions.gateway.feeds_seen import FeedsSeen
from subscriptions.gateway.heads import LIVE
from subscriptions.gateway.layer import StreamLayer
from subscriptions.gateway.metrics import AGE_S
from subscriptions.gateway.spans import Spans

log = logging.getLogger(__name__)

REFETCH_OVERLAP_NS = 2_000_000_000  # fetched beyond what is known to be missing: clocks and stream chunks are coarse
# Where the stream has a stale start: a parser began from its checkpoint and died, or an outbox sent again what it had
# under way. A reader that begins there sees old numbers and then a jump; what lies between is further back.
REFETCH_FURTHER_NS = (REFETCH_OVERLAP_NS, 60_000_000_000, 600_000_000_000)
REFETCH_RETRY_S = 0.5
# A gateway that starts has the history when it has also worked off what came while it read it: a subscriber before that
# would take old records for new ones. Young enough is what was published so long ago, and it is not waited for longer.
YOUNG_NS = 250_000_000
WORKED_OFF_S_MAX = 5.0
WORKED_OFF_LOOK_S = 0.05
YIELD_EVERY_S = 0.005  # of fan-out without a pause; then the loop serves sockets, whatever waits in the bus


class ParsedSource(Protocol):
    """The part of the bus that a gateway uses."""

    def consume_parsed(self, name: str, on_reconnect: Callable[[], None] | None = None) -> Subscription: ...

    def refetch_parsed(self, since_ns: int) -> AsyncIterator[Delivery]: ...

    async def retained(self, key: str) -> bytes | None: ...


class Intake:
    def __init__(self, source: ParsedSource, *, layer: StreamLayer, name: str) -> None:
        self.source, self.layer, self.name = source, layer, name
        self.spans = Spans()
        self.feeds = FeedsSeen()
        self.messages = self.unnumbered = self.refetches = 0
        self._published_ns = 0  # of the last live message: what was published later may have been missed
        self._reconnected = asyncio.Event()
        self._fetched = asyncio.Event()
        self.on_live: Callable[[bytes, Mapping[str, object], int], None] = lambda body, headers, at_ns: None
        self._turn = asyncio.Lock()  # live and refetched messages are never mixed

    async def run(self) -> None:
        """Until cancelled."""
        subscription = self.source.consume_parsed(self.name, on_reconnect=self._reconnected.set)
        if self.layer.settings.fill_s:
            self.layer.filled.clear()
            self._published_ns = time.time_ns() - int(self.layer.settings.fill_s * 1e9)
            self._reconnected.set()  # what `_after_reconnects` fetches is the history
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._consume(subscription), name=f"{self.name} consume")
                group.create_task(self._after_reconnects(), name=f"{self.name} refetch")
                group.create_task(self._learn_states(), name=f"{self.name} feed states")
                group.create_task(self._fill(), name=f"{self.name} fill")
        finally:
            self.layer.filled.set()
            with contextlib.suppress(ConnectionError):
                await subscription.close()

    async def _learn_states(self) -> None:
        """What was said of the feeds before we listened; what is said meanwhile counts more."""
        while True:
            try:
                body = await self.source.retained(STATES_KEY)
            except ConnectionError as error:
                log.warning("%s: the feeds' states cannot be read: %s", self.name, error)
                await asyncio.sleep(REFETCH_RETRY_S)
            else:
                return None if body is None else self.feeds.learn(body)

    async def _consume(self, subscription: Subscription) -> None:
        """A message is acknowledged after it was fanned out."""
        busy_since = time.monotonic()
        async for delivery in subscription:
            async with self._turn:
                if self._jumps(delivery):
                    self._reconnected.set()
                while self._reconnected.is_set():  # until it succeeds: once `delivery` is taken, the gap is a loss
                    await self._refetch()
                self.take(delivery)
            subscription.ack(delivery)
            if time.monotonic() - busy_since >= YIELD_EVERY_S:
                await asyncio.sleep(0)
                busy_since = time.monotonic()

    async def _after_reconnects(self) -> None:
        """What was published while the bus was away came to nobody's queue; nothing may follow it for a while."""
        while True:
            await self._reconnected.wait()
            async with self._turn:
                if self._reconnected.is_set():
                    await self._refetch()

    async def _fill(self) -> None:
        """The history is there when a live message is young again, or none waits."""
        await self._fetched.wait()
        deadline_s = time.monotonic() + WORKED_OFF_S_MAX
        last_ns = -1
        while last_ns != self._published_ns < time.time_ns() - YOUNG_NS and time.monotonic() < deadline_s:
            last_ns = self._published_ns
            await asyncio.sleep(WORKED_OFF_LOOK_S)
        self.layer.filled.set()

    def _jumps(self, delivery: Delivery) -> bool:
        headers = delivery.headers
        return headers.get("origin") == LIVE and self.spans.missing_before(headers) > 0

    async def _refetch(self) -> None:
        """Take what is kept of the live messages since the last one that came; each record once, as ever."""
        self._reconnected.clear()
        if not self._published_ns:
            return
        self.refetches += 1
        from_ns, until_ns = self._published_ns, time.time_ns() + REFETCH_OVERLAP_NS
        log.info("%s: fetching PARSED again from %.1f s ago", self.name, (until_ns - from_ns) / 1e9)
        try:
            for further_ns in REFETCH_FURTHER_NS:
                last = further_ns == REFETCH_FURTHER_NS[-1]
                if await self._read_again(max(0, from_ns - further_ns), until_ns=until_ns, last=last):
                    break
            self._fetched.set()
        except ConnectionError as error:
            log.warning("%s: %s; trying again", self.name, error)
            self._reconnected.set()
            await asyncio.sleep(REFETCH_RETRY_S)

    async def _read_again(self, since_ns: int, *, until_ns: int, last: bool) -> bool:
        """Take what was published from `since_ns` on; False at a jump, unless it is the `last` try: a loss."""
        busy_since = time.monotonic()
        async for delivery in self.source.refetch_parsed(since_ns):
            if not last and self._jumps(delivery):
                log.info("%s: what is missing before %s was published earlier", self.name, dict(delivery.headers))
                return False
            self.take(delivery)
            if int(str(delivery.headers.get("t_pub") or 0)) > until_ns:
                break
            if time.monotonic() - busy_since >= YIELD_EVERY_S:
                await asyncio.sleep(0)
                busy_since = time.monotonic()
        return True

    def take(self, delivery: Delivery) -> None:
        body, headers = delivery.body, delivery.headers
        self.messages += 1
        try:
            placement = self.spans.place(headers)
        except (KeyError, ValueError) as error:
            self.unnumbered += 1
            log.error("a PARSED message without its numbers is dropped: %s: %s", type(error).__name__, error)
            return
        if placement.lost:
            log.warning("%d records lost before %s", placement.lost, dict(headers))
        if placement.drop:
            body = b"\n".join(body.split(b"\n")[placement.drop :])
            if not body:
                return
        origin = str(headers["origin"])
        if placement.restarted:
            self.layer.hub.expect_restart(origin)
        self.layer.publish(body, origin)
        if origin == LIVE:
            now_ns = self.layer.clock_ns()
            self.feeds.note(body, headers, now_ns=now_ns)
            self.on_live(body, headers, now_ns)  # the delay line
            sent_ns = int(str(headers.get("t_pub") or 0))
            self._published_ns = max(self._published_ns, sent_ns)
            if sent_ns:
                AGE_S.observe(max(0, now_ns - sent_ns) / 1e9)
