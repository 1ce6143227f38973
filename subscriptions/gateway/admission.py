"""Lets clients in: limits of the gateway, of an address and of a subscriber, take-over, and the ban of bad keys."""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from subscriptions.close_codes import CloseCode
from subscriptions.entitlements import Grant
from subscriptions.gateway.bad_keys import BadKeys
from subscriptions.gateway.session_counts import Elsewhere
from subscriptions.protocol import OperationId, ProtocolError

if TYPE_CHECKING:
    from subscriptions.gateway.edges import Keys
    from subscriptions.gateway.layer import Seat, StreamLayer
    from subscriptions.gateway.shared_sessions import SharedSessions

FAILED_LOGIN_DELAY_S = 0.5  # before a bad key is told so: a crash loop with one costs the client, not us
NOWHERE = Elsewhere()
NOT_THE_CLIENTS_FAULT = frozenset({"OVERLOADED", "SHUTDOWN"})


class Admission:
    """One for each gateway. Addresses and bad keys are counted by process, subscribers over all gateways."""

    def __init__(self, layer: StreamLayer) -> None:
        self.layer = layer
        self.bad_keys = BadKeys()
        self.taken_over = 0
        self.sessions_used: Callable[[Grant, int], None] = lambda grant, used: None  # tells the account channel
        self.shared: SharedSessions | None = None  # None: there is no other gateway to ask
        self._by_address: Counter[str] = Counter()

    # Connections

    def enter(self, address: str | None) -> None:
        """Count a connection, or refuse it; `leave` is called for each that was counted."""
        settings = self.layer.settings
        if self.layer.closing:
            raise ProtocolError("SHUTDOWN", "this gateway is going down: come back in a moment", fatal=True)
        if self._by_address.total() >= settings.sessions_max:
            raise ProtocolError("OVERLOADED", "this gateway has its most sessions", fatal=True)
        limit = settings.sessions_per_address_max
        if address and not _of_this_machine(address) and self._by_address[address] >= limit:
            raise ProtocolError("OVERLOADED", f"at most {limit} sessions from one address", fatal=True)
        self._by_address[address or ""] += 1

    def leave(self, address: str | None) -> None:
        name = address or ""
        self._by_address[name] -= 1
        if self._by_address[name] <= 0:
            del self._by_address[name]

    # Logins

    async def login(self, keys: Keys, secret: str, address: str | None) -> Grant:
        """The grant of a secret. One that failed again and again is refused without a look, with the time to wait."""
        wait_ms = self.bad_keys.wait_ms(secret, address, now_ns=self.layer.clock_ns())
        if wait_ms:
            error = ProtocolError("BANNED", "this key failed too often from here: mend it, then wait", fatal=True)
            error.retry_after_ms = wait_ms + random.randint(0, wait_ms // 4)
            raise error
        try:
            grant = await keys.login(secret, address)
        except ProtocolError as error:
            if error.code not in NOT_THE_CLIENTS_FAULT:
                self.bad_keys.failed(secret, address, now_ns=self.layer.clock_ns())
                await asyncio.sleep(FAILED_LOGIN_DELAY_S)
            raise
        self.bad_keys.succeeded(secret, address)
        if "stream" not in grant.scopes:
            raise ProtocolError("NOT_ENTITLED", "this key has no scope stream", fatal=True)
        return grant

    # Sessions

    async def elsewhere(self, grant: Grant, *, takeover: bool) -> Elsewhere:
        """What the subscriber has at other gateways; to be asked right before `count`."""
        return await self.shared.elsewhere(grant, takeover=takeover) if self.shared is not None else Elsewhere()

    def count(
        self, seat: Seat, grant: Grant, *, takeover: bool = False, elsewhere: Elsewhere = NOWHERE,
        id: OperationId = None,
    ) -> int:  # fmt: skip
        """The subscriber's sessions with this one. Over the limit the oldest ends (if asked, or by plan), or this."""
        limit = grant.limits.sessions
        used = self.layer.count_session(seat, grant) + elsewhere.sessions
        while used > limit:
            oldest = self._oldest_beside(seat) if takeover or grant.limits.takeover else None
            if self.shared is not None and (takeover or grant.limits.takeover) and _older(elsewhere, oldest):
                self.shared.end_oldest(elsewhere, grant)
                elsewhere = NOWHERE  # who has the next one nobody said
            elif oldest is not None:
                self.end(oldest)
            else:
                raise ProtocolError("SESSION_LIMIT", f"at most {limit} sessions at once", id=id, fatal=True)
            self.taken_over += 1
            used -= 1
        self.sessions_used(grant, used)
        return used

    def end(self, seat: Seat) -> None:
        """Another session takes its place."""
        self.layer.cut(seat, CloseCode.TAKEN_OVER, "SESSION_LIMIT")
        self.layer.uncount(seat)  # now: its socket may take a moment to go

    def take_over(self, message: Mapping[str, object]) -> None:
        """Another gateway's session takes the place of the oldest one here."""
        if self.shared is None or message.get("gateway") != self.shared.gateway:
            return
        oldest = next((one for one in self.layer.sessions.of(str(message.get("subscriber"))) if not one.cut), None)
        if oldest is not None:
            self.end(oldest)

    def _oldest_beside(self, seat: Seat) -> Seat | None:
        return next((one for one in self.layer.sessions.of(seat.counted_as) if one is not seat and not one.cut), None)


def _older(elsewhere: Elsewhere, here: Seat | None) -> bool:
    return bool(elsewhere.gateway) and (here is None or elsewhere.since_ns < here.session.opened_ns)


def _of_this_machine(address: str) -> bool:
    """Loopback: load generators, and a proxy that does not say for whom it asks."""
    try:
        return ipaddress.ip_address(address.split("%", 1)[0]).is_loopback
    except ValueError:
        return False
