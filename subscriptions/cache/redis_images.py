"""The hot cache in Redis: the only door to it.

A hash per stream, `{mdds8000}:image:<stream key>`, with a TTL. Its field `ep` is the epoch as a number, every other
field an identity (board, MsgType) with the value `<n>:<line>`. The script compares and writes in one step, so that
several writers and late ones never put an older image over a newer one. All keys have one hash tag: one slot of a
cluster, one script call for hundreds of streams.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import redis

from subscriptions.cache.images import StreamImages, key_of
from subscriptions.cache.store import CacheDown

TTL_S = 4 * 24 * 3600  # over a long weekend; a stream that says nothing for longer is forgotten
STREAMS_PER_CALL = 250  # a script call of about 150 KB: Redis serves others in between
SCAN_COUNT = 1_000
TIMEOUT_S = 2.0  # of a connect, a command; past it: CacheDown, and the images wait in memory

# ARGV: ttl, then per key: epoch, count of images, and (identity, n, line) of each. Returns how many were written.
_PUT = """
local at, written = 2, 0
for i, key in ipairs(KEYS) do
  local epoch, count = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  at = at + 2
  local present = tonumber(redis.call('HGET', key, 'ep') or '-1')
  if epoch > present then
    redis.call('DEL', key)
    redis.call('HSET', key, 'ep', ARGV[at - 2])
  end
  if epoch >= present then
    for j = 0, count - 1 do
      local field, n = ARGV[at + 3 * j], ARGV[at + 3 * j + 1]
      local old = redis.call('HGET', key, field)
      if not old or tonumber(string.match(old, '^(%d+):')) < tonumber(n) then
        redis.call('HSET', key, field, n .. ':' .. ARGV[at + 3 * j + 2])
        written = written + 1
      end
    end
    redis.call('EXPIRE', key, ARGV[1])
  end
  at = at + 3 * count
end
return written
"""

Result = TypeVar("Result")


class RedisImages:
    def __init__(self, url: str, *, prefix: str, timeout_s: float = TIMEOUT_S) -> None:
        self._redis: Any = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, health_check_interval=30
        )
        self._tag = f"{{{prefix}}}:image:".encode()
        self._mark_key = f"{{{prefix}}}:image-mark"
        self._script = self._redis.register_script(_PUT)

    def put(self, batch: Mapping[bytes, StreamImages]) -> int:
        written, rows = 0, iter(batch.items())
        while some := list(islice(rows, STREAMS_PER_CALL)):
            arguments: list[object] = [TTL_S]
            for _, stream in some:
                arguments += (stream.epoch, len(stream.images))
                for image in stream.images.values():
                    arguments += image
            keys = [self._tag + key for key, _ in some]
            written += int(_answered(lambda keys=keys, rest=arguments: self._script(keys=keys, args=rest)))
        return written

    def get(self, channel: str, symbol: str) -> list[bytes]:
        return _lines(_answered(lambda: self._redis.hgetall(self._tag + key_of(channel, symbol))))

    def every(self) -> Iterator[list[bytes]]:
        cursor = 0
        while True:
            cursor, keys = _answered(
                lambda at=cursor: self._redis.scan(at, match=_literal(self._tag) + b"*", count=SCAN_COUNT)
            )
            if keys:
                yield [line for fields in self._read(keys) for line in _lines(fields)]
            if not cursor:
                return

    def _read(self, keys: list[bytes]) -> list[dict[bytes, bytes]]:
        with self._redis.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hgetall(key)
            found: list[dict[bytes, bytes]] = _answered(pipe.execute)
        return found

    def holds(self, mark: str) -> bool:
        return bool(_answered(lambda: self._redis.get(self._mark_key)) == mark.encode())

    def set_mark(self, mark: str) -> None:
        _answered(lambda: self._redis.set(self._mark_key, mark, ex=TTL_S))

    def close(self) -> None:
        self._redis.close()


def _answered(command: Callable[[], Result]) -> Result:
    try:
        return command()
    except redis.RedisError as error:
        raise CacheDown(f"{type(error).__name__}: {error}") from error


def _lines(fields: Mapping[bytes, bytes]) -> list[bytes]:
    """The lines of one stream's hash, oldest first."""
    found = []
    for name, value in fields.items():
        if name != b"ep":
            number, _, line = value.partition(b":")
            found.append((int(number), line))
    return [line for _, line in sorted(found)]


def _literal(text: bytes) -> bytes:
    """`text` in a MATCH pattern, where brackets would mean something."""
    return re.sub(rb"([*?\[\]\\])", rb"\\\1", text)
