"""Keeps the two publishers of a hot-hot pair in the same epoch.

Both count epochs alike: the session date, and one more for each reset they see. One that has missed a reset (its
capture was down, or it was started later that day) would go on under an epoch that the parsers have left behind, and
everything it brings would count as old. So the highest epoch of a feed is kept on the bus. A publisher that has read
its journal to the end and is still below takes it after ADOPT_S: sooner, and it might yet see the reset itself and
count it twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feeds.bus.base import Bus

if TYPE_CHECKING:
    from feeds.capture.publisher import FeedPublisher

log = logging.getLogger(__name__)

TURN_S = 0.5
ADOPT_S = 2.0


def epoch_key(feed: str) -> str:
    """The retained value with the highest epoch of a feed, as decimal text."""
    return f"epoch.{feed}"


class Pairing:
    """One process's side of the pair, over all its feeds."""

    def __init__(self, bus: Bus, *, adopt_s: float = ADOPT_S) -> None:
        self.bus = bus
        self.adopt_s = adopt_s
        self.adopted = 0
        self._behind_since: dict[str, float] = {}

    async def run(self, stop: asyncio.Event, publishers: Sequence[FeedPublisher]) -> None:
        """Look twice a second until `stop`."""
        while not stop.is_set():
            for publisher in list(publishers):
                try:
                    await self.agree(publisher, time.monotonic())
                except ConnectionError as error:
                    log.warning("%s: cannot compare epochs: %s", publisher.feed.name, error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TURN_S)

    async def agree(self, publisher: FeedPublisher, now_s: float) -> None:
        """Say our epoch where it is the highest; take the other's where ours has been lower for long enough."""
        name, ours = publisher.feed.name, publisher.stage.epoch
        if not ours:
            return  # nothing received yet
        kept = await self.bus.retained(epoch_key(name))
        theirs = int(kept) if kept is not None and kept.isdigit() else 0
        if ours > theirs:
            await self.bus.retain(epoch_key(name), b"%d" % ours)
        if ours >= theirs or not publisher.at_tail():
            self._behind_since.pop(name, None)
        elif now_s - self._behind_since.setdefault(name, now_s) >= self.adopt_s:
            log.warning("%s: epoch %d, the other publisher is in %d: taken", name, ours, theirs)
            publisher.stage.adopt(theirs)
            self.adopted += 1
            del self._behind_since[name]
