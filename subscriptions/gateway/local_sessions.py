"""Whose sessions this gateway holds, oldest first: what their limits are counted by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from subscriptions.gateway.session_counts import Held

if TYPE_CHECKING:
    from subscriptions.gateway.layer import Seat

SUBSCRIBER = "subscriber "  # other sessions count by address, at each gateway by itself


class LocalSessions:
    def __init__(self) -> None:
        self._seats: dict[str, dict[str, Seat]] = {}  # who is counted → session → seat, in the order they came

    def add(self, who: str, seat: Seat) -> int:
        """How many there are with this one."""
        seats = self._seats.setdefault(who, {})
        seats[seat.session.name] = seat
        return len(seats)

    def remove(self, who: str, seat: Seat) -> None:
        seats = self._seats.get(who, {})
        seats.pop(seat.session.name, None)
        if not seats:
            self._seats.pop(who, None)

    def of(self, who: str) -> Iterator[Seat]:
        """The oldest first."""
        return iter(self._seats.get(who, {}).values())

    def held(self, who: str) -> Held | None:
        """For the other gateways; None when there are none."""
        seats = self._seats.get(who)
        return Held(len(seats), next(iter(seats.values())).session.opened_ns) if seats else None

    def every(self) -> dict[str, Held]:
        """Those of all subscribers."""
        return {who: held for who in self._seats if who.startswith(SUBSCRIBER) and (held := self.held(who))}
