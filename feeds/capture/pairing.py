"""Keeps the two publishers of a hot-hot pair in the same epoch.

Both count epochs alike: the session date, and one more for each reset they see. One that has missed a reset (its
capture was down, or it was started later that day) would go on under an epoch that the parsers have left behind, and
everything it brings would count as old. So the highest epoch of a feed is kept on the bus, and when it began, before
its first RAW message goes out. What a publisher that is below received ADOPT_S after that is of this epoch: sooner, and
it might yet see the reset itself and count it twice. One that is started later is thus in the right epoch from its
first message, and may be the only one that is left in the next moment. Where the time does not tell (clocks that
differ), a publisher that has read its journal to the end and is still below takes the epoch after ADOPT_S.
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
    """The retained value with the highest epoch of a feed and when it began (ns), as decimal texts."""
    return f"epoch.{feed}"


class Pairing:
    """One process's side of the pair, over all its feeds."""

    def __init__(self, bus: Bus, *, adopt_s: float = ADOPT_S) -> None:
        self.bus = bus
        self.adopt_s = adopt_s
        self.adopted = 0
        self._announced: dict[str, int] = {}
        self._behind_since: dict[str, float] = {}

    async def run(self, stop: asyncio.Event, publishers: Sequence[FeedPublisher]) -> None:
        """Look twice a second until `stop`."""
        while not stop.is_set():
            await self.look(publishers)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TURN_S)

    async def look(self, publishers: Sequence[FeedPublisher]) -> None:
        """Compare with the bus, feed by feed. Once before the publishers begin."""
        for publisher in list(publishers):
            try:
                await self.agree(publisher, time.monotonic())
            except ConnectionError as error:
                log.warning("%s: cannot compare epochs: %s", publisher.feed.name, error)

    async def announce(self, publisher: FeedPublisher) -> None:
        """Before the first RAW message of an epoch goes out. The parsers leave the one before behind with it, and if
        we are killed then, the other publisher must know."""
        epoch = publisher.stage.epoch
        if epoch == self._announced.get(publisher.feed.name):
            return
        self._announced[publisher.feed.name] = epoch
        await self.look([publisher])

    async def agree(self, publisher: FeedPublisher, now_s: float) -> None:
        """Say our epoch where it is the highest; take the other's where ours has been lower for long enough."""
        name, stage = publisher.feed.name, publisher.stage
        theirs, began_ns = _parsed(await self.bus.retained(epoch_key(name)))
        ours = stage.epoch
        if ours > theirs:
            await self.bus.retain(epoch_key(name), b"%d %d" % (ours, stage.epoch_began_ns or time.time_ns()))
        if theirs > ours and began_ns:
            stage.follow(theirs, began_ns, began_ns + int(self.adopt_s * 1e9))
        if not ours:
            return  # nothing received yet
        if ours >= theirs or not publisher.at_tail():
            self._behind_since.pop(name, None)
        elif now_s - self._behind_since.setdefault(name, now_s) >= self.adopt_s:
            log.warning("%s: epoch %d, the other publisher is in %d: taken", name, ours, theirs)
            stage.adopt(theirs)
            self.adopted += 1
            del self._behind_since[name]


def _parsed(kept: bytes | None) -> tuple[int, int]:
    """Epoch and when it began; zeros where nothing is kept, and for a value of before the time was kept."""
    epoch, _, began_ns = (kept or b"").partition(b" ")
    return (int(epoch) if epoch.isdigit() else 0, int(began_ns) if began_ns.isdigit() else 0)
