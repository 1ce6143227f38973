"""Serves the channel `raw`: the exchange's own messages, from RAW, while somebody follows them.

Theory of operation. RAW is heavy and few may see it, so a gateway binds a queue of its own to it only when the hub has
a follower of `raw`, and leaves LINGER_S after the last one. Records are made of the streams that somebody asked for
since, and of no others. They are numbered here: the epoch of a record names the exchange's epoch and this gateway's
numbering (`20261120-1.18c2f`). Where messages were lost (the queue met its bound, the broker was away) a new numbering
begins, and every follower is told a `gap` without an end: which streams missed what, nobody knows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from feeds.blocks import FLAG_GAP, FLAG_UNFRAMED, Block, decode_block
from feeds.bus.base import Delivery, Subscription
from feeds.records import epoch_text
from subscriptions.gateway.delayed import Delayed
from subscriptions.gateway.heads import LIVE
from subscriptions.gateway.history import ENTRY_BYTES
from subscriptions.gateway.layer import StreamLayer
from subscriptions.gateway.origins import delay_of
from subscriptions.gateway.raw_order import Chains, Identities, Place, place_of
from subscriptions.gateway.raw_records import CHANNEL, RawMessage, learnt, read

log = logging.getLogger(__name__)

LINGER_S = 60.0  # after the last follower: who comes back in time finds the history
LOOK_S = 0.05
YIELD_EVERY_S = 0.005
BOUND_S_MAX = 5.0  # a replay waits so long for the queue before it begins
HISTORY_BYTES_MAX = 33_554_432  # of raw records, of the bytes of all histories; past it the oldest raw record goes
TICKERS_MAX = 100_000  # learnt from definitions; past it: nothing more, the database names the rest


class RawSource(Protocol):
    """The part of the bus that this channel uses."""

    def follow_raw(self, name: str, on_bound: Callable[[], None]) -> Subscription: ...


class RawDesk:
    def __init__(self, source: RawSource, *, layer: StreamLayer, delayed: Delayed, name: str) -> None:
        self.source, self.layer, self.delayed, self.name = source, layer, delayed, name
        self.messages = self.records = self.bad_blocks = self.unframed = self.losses = 0
        self.bound = asyncio.Event()
        self.chains, self.identities = Chains(), Identities()
        self._duplicates_before = 0  # of the times that were followed before
        self._numberings: dict[str, str] = {}  # by origin
        self._numbers: dict[str, dict[str, tuple[int, int]]] = {}  # origin → symbol of the hub's → (epoch, last number)
        self._tickers: dict[str, str] = {}
        self._kept: deque[tuple[bytes, bytes, int, int]] = deque()  # (key, epoch, n, bytes) of what histories hold
        self._kept_bytes = 0

    def counts(self) -> dict[str, int]:
        """Since the start."""
        return {
            "messages": self.messages, "records": self.records, "duplicates": self._duplicates(),
            "unframed": self.unframed, "bad_blocks": self.bad_blocks, "losses": self.losses,
        }  # fmt: skip

    def _duplicates(self) -> int:
        return self._duplicates_before + self.chains.repeated + self.identities.duplicates

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self.layer.hub.raw_followers:
                await self._serve()

    async def ready(self) -> None:
        """Return when RAW comes to us: for a replay that is about to begin. Goes on without after BOUND_S_MAX."""
        try:
            await asyncio.wait_for(self.bound.wait(), BOUND_S_MAX)
        except TimeoutError:
            log.warning("%s: RAW does not come: the replay's first messages may be missing", self.name)

    async def _serve(self) -> None:
        log.info("%s: follows RAW", self.name)
        self._begin()
        subscription = self.source.follow_raw(self.name, self._bound)
        try:
            async with asyncio.TaskGroup() as group:
                consuming = group.create_task(self._consume(subscription), name=f"{self.name} raw")
                await self._until_unheard()
                consuming.cancel()
        finally:
            self.bound.clear()
            self._end()
            await subscription.close()
        log.info("%s: nobody follows RAW any more", self.name)

    async def _until_unheard(self) -> None:
        clock = time.monotonic
        heard_s = clock()
        while clock() - heard_s < LINGER_S:
            await asyncio.sleep(LOOK_S)
            if self.layer.hub.raw_followers:
                heard_s = clock()

    async def _consume(self, subscription: Subscription) -> None:
        busy_since = time.monotonic()
        async for delivery in subscription:
            self.take(delivery)
            subscription.ack(delivery)
            if time.monotonic() - busy_since >= YIELD_EVERY_S:
                await asyncio.sleep(0)
                busy_since = time.monotonic()

    def take(self, delivery: Delivery) -> None:
        """One RAW message; each of the exchange's messages once."""
        headers = delivery.headers
        if not delivery.body:  # a mark of a co-located publisher
            return
        self.messages += 1
        try:
            new, lost = self.chains.take(headers)
            place = place_of(headers)
            if lost:
                self._lose(f"RAW messages before number {headers['no']} of {headers['pub']}", place[0])
            if not new or place[0] not in self.layer.hub.origins:  # a replay that nobody follows
                return
            block, _ = decode_block(delivery.body)
        except (KeyError, ValueError) as error:
            self.bad_blocks += 1
            log.error(
                "%s: a RAW message that cannot be read is dropped: %s: %s", self.name, type(error).__name__, error
            )
            return
        if self.identities.enter(place, block.epoch):
            self._publish(block, place)

    def _publish(self, block: Block, place: Place) -> None:
        """The records of a block, as one message for the hub and one for the delay line."""
        origin, feed, _ = place
        epoch = f"{epoch_text(block.epoch)}.{self._numberings.setdefault(origin, self._numbering())}"
        late_origins = [one for one in self.layer.hub.origins if delay_of(one)] if origin == LIVE else []
        now: list[bytes] = []
        later: list[bytes] = []
        for rx_ns, _line, flags, data in block.entries:
            message = self._new_message(data, flags, place)
            if message is None:
                continue
            if message.msg_type == "d" and origin == LIVE:
                message = self._learn(message, feed)
            delayed = any(self.layer.hub.is_wanted(one, CHANNEL, message.symbol) for one in late_origins)
            if delayed or self.layer.hub.is_wanted(origin, CHANNEL, message.symbol):
                number = self._number(origin, message.symbol, block.epoch)
                now.append(message.record(number, epoch=epoch, origin=origin, rx_ns=rx_ns))
            if delayed:
                later.append(now[-1])
        self.records += len(now)
        if now:
            self.layer.publish(b"\n".join(now), origin)
        if now and origin == LIVE:
            self._note_kept(now)
        if later:
            self.delayed.take_raw(b"\n".join(later), self.layer.clock_ns())

    def _new_message(self, data: bytes, flags: int, place: Place) -> RawMessage | None:
        """None for what is no message, and for one that came before."""
        if flags == FLAG_GAP:
            self.identities.declare_gap(place, data)
        message = read(data, self._tickers, feed=place[1]) if not flags else None
        if message is None:
            self.unframed += not flags or bool(flags & FLAG_UNFRAMED)
            return None
        return message if self.identities.is_new(place, message) else None

    def _number(self, origin: str, symbol: str, epoch: int) -> int:
        numbers = self._numbers.get(origin)
        if numbers is None:  # replays come and go
            origins = self.layer.hub.origins
            self._numbers = {one: known for one, known in self._numbers.items() if one in origins}
            self._numberings = {one: name for one, name in self._numberings.items() if one in origins}
            numbers = self._numbers[origin] = {}
        before, last = numbers.get(symbol, (epoch, 0))
        number = last + 1 if before == epoch else 1
        numbers[symbol] = (epoch, number)
        return number

    def _learn(self, message: RawMessage, feed: str) -> RawMessage:
        """A definition names its instrument, from itself on."""
        found = learnt(message.data)
        if found is None or self._tickers.get(found[0]) == found[1] or len(self._tickers) >= TICKERS_MAX:
            return message
        self._tickers[found[0]] = found[1]
        return read(message.data, self._tickers, feed=feed) or message

    def _note_kept(self, lines: list[bytes]) -> None:
        """Raw records are long and few follow them: they take no more of the histories than their own bound."""
        streams = self.layer.hub.origins[LIVE]
        for line in lines:
            stream = streams.get(line[: line.index(b',"n":')])
            if stream is None or not stream.history:
                continue
            self._kept.append((stream.key, stream.epoch, int(stream.head(line)[4]), len(line) + ENTRY_BYTES))
            self._kept_bytes += len(line) + ENTRY_BYTES
        while self._kept_bytes > HISTORY_BYTES_MAX:
            key, epoch, number, size = self._kept.popleft()
            self._kept_bytes -= size
            self.layer.hub.forget_to(key, epoch, number)

    # Numberings

    def _begin(self) -> None:
        self._duplicates_before = self._duplicates()
        self.chains, self.identities = Chains(), Identities()
        self._tickers = dict(self.layer.catalog.tickers)

    def _bound(self) -> None:
        """The queue is there, for the first time or again."""
        if self.bound.is_set():
            for origin in [one for one in self.layer.hub.origins if not delay_of(one)]:
                self._lose("what was published while the broker was away", origin)
            self._duplicates_before += self.chains.repeated
            self.chains = Chains()
        self.bound.set()

    def _lose(self, what: str, origin: str) -> None:
        """What comes next of an origin has other numbers."""
        self.losses += 1
        log.warning("%s: %s did not come; raw of %s begins a new numbering", self.name, what, origin)
        self.layer.hub.break_off(CHANNEL, origin)
        self._numberings[origin] = self._numbering()
        self._numbers.pop(origin, None)
        if origin == LIVE:
            self._forget_kept()

    def _end(self) -> None:
        """Nobody follows: forget what is kept."""
        self.layer.hub.drop_unheard(CHANNEL)
        self._numbers.clear()
        self._numberings.clear()
        self._forget_kept()

    def _forget_kept(self) -> None:
        self._kept.clear()
        self._kept_bytes = 0

    def _numbering(self) -> str:
        return f"{self.layer.clock_ns() // 1_000:x}"
