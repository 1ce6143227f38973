"""Which sessions are open with which key: questions about rights cost by key, not by session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from subscriptions.entitlements import Grant

if TYPE_CHECKING:
    from subscriptions.gateway.layer import Seat


class OpenKeys:
    """Those without a key are one key of their own, the empty one."""

    def __init__(self) -> None:
        self._seats: dict[str, dict[str, Seat]] = {}  # key → session → seat
        self._new: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(self._seats)

    def add(self, seat: Seat, key_id: str) -> None:
        """A session begins with a key, or goes on with another one."""
        self.remove(seat)
        seat.key_id = key_id
        self._seats.setdefault(key_id, {})[seat.session.name] = seat
        self._new.add(key_id)

    def remove(self, seat: Seat) -> None:
        """The session has ended, or is about to; once is enough."""
        if seat.key_id is None:
            return
        seats = self._seats[seat.key_id]
        del seats[seat.session.name]
        if not seats:
            del self._seats[seat.key_id]
        seat.key_id = None

    def seats(self, key_id: str) -> list[Seat]:
        return list(self._seats.get(key_id, {}).values())

    def grants(self) -> list[Grant]:
        """One of each key: the oldest session's."""
        found = (next(iter(seats.values())).session.grant for seats in self._seats.values())
        return [grant for grant in found if grant is not None]

    def take_new(self) -> set[str]:
        """Open keys that a session began with since the last time."""
        new, self._new = self._new, set()
        return new & self._seats.keys()
