"""The intake: PARSED messages from the bus into the layer, each record once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Protocol

from feeds.bus.base import Delivery, Subscription
from subscriptions.gateway.feeds_seen import FeedsSeen
from subscriptions.gateway.heads import LIVE
from subscriptions.gateway.layer import StreamLayer
from subscriptions.gateway.metrics import AGE_S
from subscriptions.gateway.spans import Spans

log = logging.getLogger(__name__)

YIELD_EVERY_S = 0.005  # of fan-out without a pause; then the loop serves sockets, whatever waits in the bus


class ParsedSource(Protocol):
    """The part of the bus that a gateway uses."""

    def consume_parsed(self, name: str) -> Subscription: ...


class Intake:
    def __init__(self, source: ParsedSource, *, layer: StreamLayer, name: str) -> None:
        self.source, self.layer, self.name = source, layer, name
        self.spans = Spans()
        self.feeds = FeedsSeen()
        self.messages = self.unnumbered = 0

    async def run(self) -> None:
        """Until cancelled. A message is acknowledged after it was fanned out."""
        subscription = self.source.consume_parsed(self.name)
        busy_since = time.monotonic()
        try:
            async for delivery in _each(subscription):
                self.take(delivery)
                subscription.ack(delivery)
                if time.monotonic() - busy_since >= YIELD_EVERY_S:
                    await asyncio.sleep(0)
                    busy_since = time.monotonic()
        finally:
            with contextlib.suppress(ConnectionError):
                await subscription.close()

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
        self.layer.publish(body, origin)
        if origin == LIVE:
            now_ns = self.layer.clock_ns()
            self.feeds.note(body, headers, now_ns=now_ns)
            sent_ns = int(str(headers.get("t_pub") or 0))
            if sent_ns:
                AGE_S.observe(max(0, now_ns - sent_ns) / 1e9)


async def _each(subscription: Subscription) -> AsyncIterator[Delivery]:
    async for delivery in subscription:
        yield delivery
