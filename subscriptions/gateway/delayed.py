"""Feeds the delayed stream spaces of the hub from the delay line, and fills the line at the start.

A gateway that starts late would have nothing old enough to show for as long as the delay is: what the bus still keeps
of that time is read first, while live messages wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from feeds.bus.base import Delivery
from subscriptions.gateway import replies
from subscriptions.gateway.delay import DelayLine, Skips
from subscriptions.gateway.edges import ReadDelays
from subscriptions.gateway.heads import LIVE
from subscriptions.gateway.layer import StreamLayer
from subscriptions.gateway.origins import delay_of, delayed_origin
from subscriptions.gateway.spans import Spans

log = logging.getLogger(__name__)

# Of packed records; past it: what comes is not kept and its followers are told SKIPPED with the range (delay.py).
LINE_BYTES_MAX = 268_435_456
# Of live messages while the line is filled from the bus; past it: what was read is all that is taken from there.
HELD_BYTES_MAX = 67_108_864
POLL_S = 0.1
DELAYS_S = 15.0  # between two readings of which delays are sold
FOLLOWED_S = 1.0  # between two looks for delays that somebody follows though nobody is known to have bought them
YIELD_EVERY_S = 0.005
LATE_S = 60  # so long after the line was filled a live message may still hold what was read from the bus


class PastMessages(Protocol):
    def refetch_parsed(self, since_ns: int) -> AsyncIterator[Delivery]: ...


class Delayed:
    def __init__(
        self, layer: StreamLayer, *, source: PastMessages, read_delays: ReadDelays | None = None,
        bytes_max: int = LINE_BYTES_MAX,
    ) -> None:  # fmt: skip
        self.layer, self.source, self.read_delays = layer, source, read_delays
        self.line = DelayLine(bytes_max)
        self.released = 0  # records
        self._sold: frozenset[int] = frozenset()
        self._held: list[tuple[bytes, Mapping[str, object], int]] | None = None  # None: nothing is being filled
        self._held_bytes = 0
        self._spans: Spans | None = None  # what was read from the bus: its records may come live as well
        self._spans_until_ns = 0

    def take(self, body: bytes, headers: Mapping[str, object], at_ns: int) -> None:
        """One live message, after it was fanned out live. Never waits."""
        if self._held is None and self._spans is None:
            self.line.push(body, at_ns)
        elif self._held is None:
            self._push_new(body, headers, at_ns)
            if at_ns >= self._spans_until_ns:
                self._spans = None
        elif self._held_bytes + len(body) <= HELD_BYTES_MAX:
            self._held.append((body, headers, at_ns))
            self._held_bytes += len(body)
        else:
            self._take_held()
            self._push_new(body, headers, at_ns)

    def take_raw(self, body: bytes, at_ns: int) -> None:
        """Records of channel `raw`, each once; as `take`."""
        if self._held is not None and self._held_bytes + len(body) <= HELD_BYTES_MAX:
            self._held.append((body, {}, at_ns))
            self._held_bytes += len(body)
            return
        if self._held is not None:
            self._take_held()
        self.line.push(body, at_ns)

    async def run(self) -> None:
        """Until cancelled."""
        await self._read_sold()
        if self._sold:
            await self._fill()
        clock = time.monotonic
        read_at = served_at = clock()
        while True:
            await asyncio.sleep(POLL_S)
            if clock() - read_at >= DELAYS_S:
                await self._read_sold()
                read_at = clock()
            if clock() - served_at >= FOLLOWED_S:
                self._serve_followed()
                served_at = clock()
            await self._release()

    async def _read_sold(self) -> None:
        """A database that fails leaves the delays as they are."""
        if self.read_delays is None:
            return
        try:
            self._sold = frozenset(await self.read_delays())
        except Exception as error:
            log.warning("delays not read: %s: %s", type(error).__name__, error)
            return
        self._serve_followed()

    def _serve_followed(self) -> None:
        """What is sold is kept ready; what is followed is served, whatever the rows say now."""
        origins = self.layer.hub.origins
        followed = {delay_of(name) for name in origins if delay_of(name) and self.layer.hub.is_followed(name)}
        wanted = self._sold | followed
        if wanted == self.line.delays:
            return
        for delay in self.line.delays - wanted:
            origins.pop(delayed_origin(delay), None)
        for delay in wanted:
            origins.setdefault(delayed_origin(delay), {})
        self.line.set_delays(wanted)

    async def _release(self) -> None:
        busy_since = time.monotonic()
        for delay in sorted(self.line.delays):
            origin = delayed_origin(delay)
            while (chunk := self.line.release(delay, self.layer.clock_ns())) is not None:
                if isinstance(chunk, bytes):
                    self.released += self.layer.publish(chunk, origin)
                else:
                    self._say_skipped(origin, chunk)
                if time.monotonic() - busy_since >= YIELD_EVERY_S:
                    await asyncio.sleep(0)
                    busy_since = time.monotonic()

    def _say_skipped(self, origin: str, skips: Skips) -> None:
        """To everybody who follows a stream of it, in the place of the records."""
        streams = self.layer.hub.origins[origin]
        for key, one in skips.items():
            stream = streams.get(key)
            for member, follow in self.layer.hub.followers(origin, stream) if stream is not None else ():
                ends = {"from": one.first, "to": one.last}
                member.outbox.put_control(replies.notice("SKIPPED", sid=follow.sid, s=one.symbol, **ends))

    async def _fill(self) -> None:
        """From the bus: what is younger than the longest delay. Each record once, the live ones after the old."""
        self._held, self._held_bytes, self._spans = [], 0, Spans()
        busy_since = time.monotonic()
        since_ns = self.layer.clock_ns() - max(self._sold) * 1_000_000_000
        try:
            async for delivery in self.source.refetch_parsed(since_ns):
                if self._held is None:  # too much came meanwhile
                    return
                headers = delivery.headers
                if headers.get("origin") == LIVE:
                    self._push_new(delivery.body, headers, int(str(headers.get("t_pub") or 0)))
                if time.monotonic() - busy_since >= YIELD_EVERY_S:
                    await asyncio.sleep(0)
                    busy_since = time.monotonic()
        except (ConnectionError, ValueError, KeyError) as error:
            log.warning("delay line not filled: %s: %s", type(error).__name__, error)
        self._take_held()

    def _take_held(self) -> None:
        held, self._held = self._held or [], None
        self._spans_until_ns = self.layer.clock_ns() + LATE_S * 1_000_000_000
        for body, headers, at_ns in held:
            if headers:
                self._push_new(body, headers, at_ns)
            else:
                self.line.push(body, at_ns)

    def _push_new(self, body: bytes, headers: Mapping[str, object], at_ns: int) -> None:
        """Each record once."""
        assert self._spans is not None, "only while and after the line is filled"
        count = body.count(b"\n") + 1
        last = int(str(headers["last"]))
        drop = self._spans.place({**headers, "first": last - count + 1}).drop
        if drop < count:
            self.line.push(b"\n".join(body.split(b"\n")[drop:]) if drop else body, at_ns)
