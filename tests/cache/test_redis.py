"""The hot cache in a real Redis: the newer wins, everything comes back, and what F32 asks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis

from feeds.bus.base import Outgoing
from feeds.bus.memory import MemoryBus
from subscriptions.cache.images import ImageBook, StreamImages
from subscriptions.cache.redis_images import TTL_S, RedisImages
from subscriptions.cache.store import CacheDown
from subscriptions.cache.worker import StorageWorker
from testbed.redis import PrivateRedis
from tests.gateway import cast

pytestmark = pytest.mark.services
WAIT_S = 20.0


@pytest.fixture
def store(redis_server: PrivateRedis) -> Iterator[RedisImages]:
    redis.Redis.from_url(redis_server.url).flushall()
    one = RedisImages(redis_server.url, prefix="mdds[1]", timeout_s=0.5)
    yield one
    one.close()


def batch(*lines: bytes) -> dict[bytes, StreamImages]:
    book = ImageBook()
    book.note(b"\n".join(lines))
    return book.take()


def test_the_newer_by_epoch_and_number_stays(store: RedisImages, redis_server: PrivateRedis) -> None:
    assert store.put(batch(cast.depth("FPT", 9), cast.depth("FPT", 4, bd="T1"))) == 2
    assert store.put(batch(cast.depth("FPT", 8))) == 0
    assert store.put(batch(cast.depth("FPT", 9))) == 0
    assert store.get("depth", "FPT") == [cast.depth("FPT", 4, bd="T1"), cast.depth("FPT", 9)]
    assert store.put(batch(cast.depth("FPT", 1, ep="20261121-1"))) == 1
    assert store.put(batch(cast.depth("FPT", 99))) == 0
    assert store.get("depth", "FPT") == [cast.depth("FPT", 1, ep="20261121-1")]
    client = redis.Redis.from_url(redis_server.url)
    (key,) = client.keys()
    assert TTL_S - 60 < client.ttl(key) <= TTL_S
    client.close()


def test_writers_at_once_agree_on_the_newest(store: RedisImages) -> None:
    def write(first: int) -> None:
        for number in range(first, 400, 4):
            store.put(batch(cast.depth("FPT", number), cast.depth("VNM", 400 - number)))

    threads = [threading.Thread(target=write, args=(first,)) for first in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("depth", "FPT") == [cast.depth("FPT", 399)]
    assert store.get("depth", "VNM") == [cast.depth("VNM", 399)]


def test_everything_comes_back(store: RedisImages) -> None:
    lines = {cast.depth(f"S{i:03}", i + 1) for i in range(700)} | {cast.record("stats", "S001", 5)}
    assert store.put(batch(*lines)) == 701
    assert {line for some in store.every() for line in some} == lines


async def test_a_store_that_does_not_answer_says_so(store: RedisImages, redis_server: PrivateRedis) -> None:
    store.put(batch(cast.depth("FPT", 1)))
    redis_server.pause()
    with pytest.raises(CacheDown):
        await asyncio.to_thread(store.get, "depth", "FPT")
    redis_server.resume()
    assert await asyncio.to_thread(store.get, "depth", "FPT") == [cast.depth("FPT", 1)]


class Storing:
    """A storage worker on a memory bus."""

    def __init__(self, bus: MemoryBus, store: RedisImages) -> None:
        self.bus, self.worker, self.first = bus, StorageWorker(bus, store), 1

    async def publish(self, *lines: bytes, origin: str = "live") -> None:
        last = self.first + len(lines) - 1
        headers = {"feed": "HSX", "origin": origin, "partition": 0, "first": self.first, "last": last, "t_pub": 1}
        self.first = last + 1
        await self.bus.parsed_outbox().put(Outgoing(0, b"\n".join(lines), headers))

    async def holds(self, channel: str, symbol: str, line: bytes) -> None:
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    if await asyncio.to_thread(self.worker.store.get, channel, symbol) == [line]:
                        return
                except CacheDown:
                    pass
                await asyncio.sleep(0.02)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not true():  # noqa: ASYNC110 - what is waited for is a number of another task
            await asyncio.sleep(0.02)


@pytest.fixture
async def storing(store: RedisImages, tmp_path: Path) -> AsyncIterator[Storing]:
    bus = MemoryBus(tmp_path, 1)
    await bus.open()
    one, stop = Storing(bus, store), asyncio.Event()
    task = asyncio.create_task(one.worker.run(stop))
    await until(lambda: bool(bus._parsed))
    yield one
    stop.set()
    await task
    await bus.close()


async def test_f32_down_emptied_and_slow(storing: Storing, redis_server: PrivateRedis) -> None:
    await storing.publish(cast.depth("FPT", 1), cast.record("stats", "VNM", 1))
    await storing.publish(cast.depth("FPT", 50), origin="replay:3")
    await storing.holds("depth", "FPT", cast.depth("FPT", 1))
    # Emptied: filled again from memory, also what did not change since.
    await asyncio.to_thread(redis.Redis.from_url(redis_server.url).flushall)
    await storing.holds("stats", "VNM", cast.record("stats", "VNM", 1))
    # Slow: writes fail by their timeout, nothing waits for them, and the newest is there afterwards.
    redis_server.pause()
    for number in range(2, 30):
        await storing.publish(cast.depth("FPT", number))
    await until(lambda: not storing.worker.up)
    assert storing.worker.messages == 30
    redis_server.resume()
    await storing.holds("depth", "FPT", cast.depth("FPT", 29))
    # Down: the same, over a restart without its data.
    redis_server.kill()
    await storing.publish(cast.depth("FPT", 30))
    await until(lambda: not storing.worker.up)
    await asyncio.to_thread(redis_server.ensure_running)
    await storing.holds("depth", "FPT", cast.depth("FPT", 30))
    await storing.holds("stats", "VNM", cast.record("stats", "VNM", 1))
    assert storing.worker.refills >= 3
