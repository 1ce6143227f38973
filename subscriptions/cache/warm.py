"""Warms a starting gateway up: the last images of the hot cache into its hub, before the first live record."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from subscriptions.cache.store import CacheDown, ImageStore

log = logging.getLogger(__name__)

WARM_S_MAX = 10.0  # a cache that takes longer is left alone: records bring the images themselves


class Hub(Protocol):
    def keep_image(self, line: bytes) -> bool: ...


async def warm(hub: Hub, store: ImageStore) -> int:
    """How many images were taken. Without a cache, or with a slow one, the gateway goes on from memory."""
    taken = 0
    batches = store.every()
    try:
        async with asyncio.timeout(WARM_S_MAX):
            while True:
                lines = await asyncio.to_thread(next, batches, None)
                if lines is None:
                    return taken
                taken += sum(map(hub.keep_image, lines))
    except (CacheDown, TimeoutError) as error:
        log.warning("%d images from the cache, no more: %s: %s", taken, type(error).__name__, error)
    return taken
