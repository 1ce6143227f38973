"""A gateway that starts takes the last images of the cache, and none that is older than what it knows."""

from __future__ import annotations

import json
from collections.abc import Iterator

from subscriptions.cache.images import ImageBook
from subscriptions.cache.store import CacheDown, MemoryImages
from subscriptions.cache.warm import warm
from subscriptions.gateway.heads import stream_key
from subscriptions.gateway.hub import Hub
from tests.gateway import cast


def store_of(*lines: bytes) -> MemoryImages:
    book, store = ImageBook(), MemoryImages()
    book.note(b"\n".join(lines))
    store.put(book.take())
    return store


def numbers(hub: Hub, channel: str, symbol: str) -> list[int]:
    return [json.loads(line)["n"] for line in hub.images("live", stream_key(channel, symbol))]


async def test_what_the_cache_has_is_there_and_the_newer_stays() -> None:
    hub = Hub()
    hub.publish(cast.depth("VNM", 9))
    store = store_of(
        cast.depth("FPT", 5), cast.depth("FPT", 6, bd="T1"), cast.depth("VNM", 3), cast.record("stats", "FPT", 2)
    )
    await warm(hub, store)
    assert numbers(hub, "depth", "FPT") == [5, 6]
    assert numbers(hub, "stats", "FPT") == [2]
    assert numbers(hub, "depth", "VNM") == [9]
    hub.publish(cast.depth("FPT", 7))
    assert numbers(hub, "depth", "FPT") == [6, 7]


class Broken(MemoryImages):
    def every(self) -> Iterator[list[bytes]]:
        yield [cast.depth("FPT", 5)]
        raise CacheDown("Redis is away")


async def test_a_cache_that_fails_is_left_alone() -> None:
    hub = Hub()
    assert await warm(hub, Broken()) == 1
    assert numbers(hub, "depth", "FPT") == [5]
