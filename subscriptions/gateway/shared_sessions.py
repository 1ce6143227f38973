"""Counts a subscriber's sessions over all gateways: asked at each login, told when this gateway's change.

Exact at a login but for those of the same subscriber at other gateways within the same fifth of a second. While the
counts cannot be had each gateway counts for itself, as it does without Redis; what it holds meanwhile is told when
they are back, and nobody who is connected is cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from subscriptions.entitlements import Grant
from subscriptions.gateway.local_sessions import SUBSCRIBER, LocalSessions
from subscriptions.gateway.session_counts import CountsDown, Elsewhere, Held, SessionCounts

log = logging.getLogger(__name__)

GROUP = "sessions"  # of the control layer: {"type": "session.take_over", "gateway", "subscriber": counted as}
TELL_S = 0.2  # between two looks at what changed here
RENEW_S = 3.0  # between two tellings of everything, as one would have it who lost it
RETRY_S = 1.0  # after a failure; until then logins do not ask
TAKE_OVERS_MAX = 1_000  # to be told; past it: the oldest is not, and its subscriber has a session too many

UNKNOWN = Held(-1, 0)  # equals nothing that is held

Send = Callable[[str, dict[str, Any]], Awaitable[None]]


class SharedSessions:
    def __init__(self, counts: SessionCounts, *, local: LocalSessions, send: Send) -> None:
        """`send` is the control layer's, to a group."""
        self._counts, self._local, self._send = counts, local, send
        self._told: dict[str, Held] = {}
        self._asking: dict[str, int] = {}
        self._take_overs: deque[dict[str, Any]] = deque(maxlen=TAKE_OVERS_MAX)
        self._wake = asyncio.Event()
        self._again_s = 0.0
        self.up = True

    @property
    def gateway(self) -> str:
        return self._counts.gateway

    async def elsewhere(self, grant: Grant, *, takeover: bool) -> Elsewhere:
        """What a subscriber has at the other gateways, at the login of one more here; nothing when nobody knows."""
        if not grant.key_id or time.monotonic() < self._again_s:
            return Elsewhere()
        who = counted_as(grant)
        self._asking[who] = asking = self._asking.get(who, 0) + 1
        held = self._local.held(who) or Held(0, time.time_ns())
        limit = None if takeover or grant.limits.takeover else grant.limits.sessions
        try:
            found = await self._counts.take(who, Held(held.sessions + asking, held.since_ns), limit=limit)
            self._up()
            return found
        except CountsDown as error:
            self._down(error)
            return Elsewhere()
        finally:
            self._told[who] = UNKNOWN  # whatever becomes of this login, the next look tells it
            self._asking[who] -= 1
            if not self._asking[who]:
                del self._asking[who]

    def end_oldest(self, elsewhere: Elsewhere, grant: Grant) -> None:
        """Ask the gateway that has the subscriber's oldest session to end it."""
        message = {"type": "session.take_over", "gateway": elsewhere.gateway, "subscriber": counted_as(grant)}
        self._take_overs.append(message)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        renew_s = 0.0
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), TELL_S)
                self._wake.clear()
                await self._tell_take_overs()
                if time.monotonic() < self._again_s:
                    continue
                everything = time.monotonic() >= renew_s
                if await self._tell(everything=everything) and everything:
                    renew_s = time.monotonic() + RENEW_S
        finally:
            with contextlib.suppress(CountsDown, asyncio.CancelledError):
                await self._counts.leave()

    async def _tell(self, *, everything: bool) -> bool:
        held = self._local.every()
        news = {who: one for who, one in held.items() if everything or self._told.get(who) != one}
        news |= {who: Held(0, 0) for who in self._told.keys() - held.keys()}
        if not news and not everything:
            return True
        try:
            await self._counts.tell(news)
        except CountsDown as error:
            self._down(error)
            return False
        self._told = held
        self._up()
        return True

    async def _tell_take_overs(self) -> None:
        while self._take_overs:
            message = self._take_overs.popleft()
            try:
                await self._send(GROUP, message)
            except Exception as error:
                log.warning("a session elsewhere is not taken over: %s: %s", type(error).__name__, error)

    def _up(self) -> None:
        if not self.up:
            log.info("the session counts of other gateways are back")
        self.up = True

    def _down(self, error: CountsDown) -> None:
        if self.up:
            log.warning("session counts of other gateways are away, this one counts for itself: %s", error)
        self.up = False
        self._again_s = time.monotonic() + RETRY_S


def counted_as(grant: Grant) -> str:
    """Who a session with a key counts for."""
    return f"{SUBSCRIBER}{grant.subscriber_id}"
