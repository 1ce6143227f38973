"""Takes what a connection receives and gives each record, notice and gap to the subscriptions it belongs to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from mdds_client.handshake import error_in
from mdds_client.records import Record
from mdds_client.routes import Routes
from mdds_client.subscription import Part, Subscription

log = logging.getLogger("mdds_client")


class Streams:
    """The subscriptions of a client; the Receiver of its connections."""

    def __init__(self, on_notice: Callable[[dict[str, Any]], None] | None) -> None:
        self.routes: Routes[Subscription] = Routes()
        self.feeds: dict[str, Any] = {}
        self.unreadable = 0
        self.unrouted = 0
        self._on_notice = on_notice
        self._blocked_by: Subscription | None = None

    def end(self, error: Exception | None) -> None:
        for subscription in self.routes:
            subscription.end(error)
            self.routes.discard(subscription)

    # ------------------------------------------------------------------------------------------- Receiver
    async def take_records(self, records: list[Record]) -> None:
        routes_of = self.routes.of
        for record in records:
            data = record.data
            takers = routes_of(data["ch"], data["s"], origin=data.get("job"))
            if not takers:
                self.unrouted += 1  # of a stream that was just left
            for subscription in takers:
                if subscription.full:
                    self._blocked_by = subscription
                await subscription.deliver(record)
        self._blocked_by = None

    def take_control(self, members: dict[str, Any]) -> None:
        kind = members["t"]
        if kind == "hb":
            feeds = members.get("feeds")
            self.feeds = feeds if isinstance(feeds, dict) else {}
        elif kind == "gap":
            self._announce(members, why=str(members.get("why", "gap")))
        elif kind == "unsub":
            self._withdrawn(members)
        elif kind in ("notice", "error"):
            if kind == "notice" and members.get("code") == "SKIPPED":
                self._announce(members, why="skipped")
            if kind == "error" and members.get("sid") is not None:
                self._withdrawn(members)
            self._notify(members)

    def take_unreadable(self, count: int, why: str) -> None:
        self.unreadable += count
        log.warning("%d unreadable from the server: %s", count, why)

    def waits_for(self) -> str | None:
        subscription = self._blocked_by
        if subscription is None or not subscription.full:
            return None
        return (
            f"the queue of {subscription!r} is full ({subscription.request.queue_max} records): consume it or"
            ' subscribe with on_slow="drop"'
        )

    # -------------------------------------------------------------------------------------------- control
    def _part(self, sid: object) -> tuple[Subscription, Part] | None:
        for subscription in self.routes:
            for part in subscription.parts:
                if sid is not None and part.sid == sid:
                    return subscription, part
        return None

    def _announce(self, members: dict[str, Any], *, why: str) -> None:
        found = self._part(members.get("sid"))
        first, last, symbol = members.get("from"), members.get("to"), members.get("s")
        if found is None or not isinstance(first, int) or not isinstance(symbol, str):
            log.warning("a gap of no known subscription: %s", members)
            return
        subscription, part = found
        subscription.announce(part.channel, symbol, first=first, last=last if isinstance(last, int) else None, why=why)

    def _withdrawn(self, members: dict[str, Any]) -> None:
        """The server ended one subscription by itself: an error if it says so, else a plain end."""
        found = self._part(members.get("sid"))
        if found is None:
            return
        subscription, part = found
        part.sid = None
        if not any(other.sid is not None for other in subscription.parts):
            subscription.end(error_in(members) if "code" in members else None)
            self.routes.discard(subscription)

    def _notify(self, members: dict[str, Any]) -> None:
        log.info("%s", members)
        if self._on_notice is not None:
            try:
                self._on_notice(members)
            except Exception:
                log.exception("on_notice raised")
