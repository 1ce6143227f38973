"""The sessions of all gateways in Redis: per subscriber a hash of who has how many, since when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from redis import RedisError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from subscriptions.gateway.session_counts import CountsDown, Elsewhere, Held

Result = TypeVar("Result")

LIFE_MS = 10_000  # a gateway that was not heard of for longer has no sessions: it was killed
FORGET_S = 3_600  # a subscriber whom no gateway has spoken of for longer
TIMEOUT_S = 0.5  # of a connect, a command; past it: CountsDown, and each gateway counts for itself
TELL_AT_ONCE = 500  # subscribers in one round trip

# KEYS: the subscriber's hash, whose fields are gateways with "<sessions> <oldest since, in ms>". ARGV: this gateway,
# its value, its sessions, the limit, the prefix of the keys by which gateways live, their life in ms, forget in s.
# Written only when it is within the limit (a negative limit: always). Returns what the others have.
_TAKE = """
local count, oldest, whose = 0, '', ''
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if fields[i] ~= ARGV[1] then
    if redis.call('EXISTS', ARGV[5] .. fields[i]) == 1 then
      local held, since = string.match(fields[i + 1], '^(%d+) (%d+)$')
      count = count + tonumber(held)
      if oldest == '' or tonumber(since) < tonumber(oldest) then
        oldest, whose = since, fields[i]
      end
    else
      redis.call('HDEL', KEYS[1], fields[i])
    end
  end
end
local limit = tonumber(ARGV[4])
if limit < 0 or count + tonumber(ARGV[3]) <= limit then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[7])
  redis.call('SET', ARGV[5] .. ARGV[1], '1', 'PX', ARGV[6])
end
return {count, whose, oldest}
"""


class RedisSessionCounts:
    """One gateway's; `gateway` is its name among all that share the Redis, other than any before it."""

    def __init__(self, url: str, *, prefix: str, gateway: str, timeout_s: float = TIMEOUT_S) -> None:
        self.gateway = gateway
        self._timeout_s = timeout_s
        # Once more at once, for a connection that Redis has closed meanwhile; whoever asks decides about the rest.
        self._redis: Any = Redis.from_url(url, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 1))
        self._hash, self._alive = f"{{{prefix}}}:sessions:", f"{{{prefix}}}:gateway:"  # one slot of a cluster
        self._take = self._redis.register_script(_TAKE)

    async def take(self, who: str, mine: Held, *, limit: int | None) -> Elsewhere:
        bound = -1 if limit is None else limit
        arguments = [self.gateway, _text(mine), mine.sessions, bound, self._alive, LIFE_MS, FORGET_S]
        count, whose, oldest_ms = await self._answered(self._take(keys=[self._hash + who], args=arguments))
        return Elsewhere(count, whose.decode(), int(oldest_ms or 0) * 1_000_000)

    async def tell(self, counts: Mapping[str, Held]) -> None:
        rows = list(counts.items())
        for start in range(0, max(1, len(rows)), TELL_AT_ONCE):
            async with self._redis.pipeline(transaction=False) as pipe:
                for who, held in rows[start : start + TELL_AT_ONCE]:
                    if held.sessions:
                        pipe.hset(self._hash + who, self.gateway, _text(held))
                        pipe.expire(self._hash + who, FORGET_S)
                    else:
                        pipe.hdel(self._hash + who, self.gateway)
                pipe.set(self._alive + self.gateway, "1", px=LIFE_MS)
                await self._answered(pipe.execute())

    async def leave(self) -> None:
        try:
            await self._answered(self._redis.delete(self._alive + self.gateway))
        finally:
            await self._redis.aclose()

    async def _answered(self, command: Awaitable[Result]) -> Result:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await command
        except (RedisError, OSError) as error:
            raise CountsDown(f"{type(error).__name__}: {error}") from error


def _text(held: Held) -> str:
    return f"{held.sessions} {held.since_ns // 1_000_000}"
