"""Takes what a connection receives and gives each record, notice and gap to the subscriptions it belongs to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from mdds_client.continuity import BOARD_IMAGE_CHANNELS, IMAGE_CHANNELS, Kind
from mdds_client.errors import error_of
from mdds_client.parts import Part
from mdds_client.records import Record
from mdds_client.routes import Routes, matches
from mdds_client.subscription import Subscription

log = logging.getLogger("mdds_client")
# What the server may call the end of a replay, and whether it is a failure.
REPLAY_ENDS = {
    **dict.fromkeys(("end", "ended", "done", "finished", "completed", "cancelled", "live", "closed"), False),
    **dict.fromkeys(("failed", "aged_out"), True),
}


class Streams:
    """The subscriptions of a client; the Receiver of its connections."""

    def __init__(self, on_notice: Callable[[dict[str, Any]], None] | None) -> None:
        self.routes: Routes[Subscription] = Routes()
        self.parts: list[Part] = []
        self.feeds: dict[str, Any] = {}
        self.heartbeat = asyncio.Event()
        self.unreadable = 0
        self.unrouted = 0
        self._on_notice = on_notice
        self._blocked_by: Subscription | None = None
        # The last image of each kind of the streams followed now, for subscriptions that share them later.
        self._images: dict[tuple[str, str, str | None], dict[Kind, Record]] = {}

    def add(self, subscription: Subscription) -> None:
        """Follow; from the streams that are shared it gets the last images, as from the server."""
        self.routes.add(subscription)
        for part in subscription.parts:
            part.users.append(subscription)
            if part not in self.parts:
                self.parts.append(part)
        if subscription.request.snapshot:
            for (channel, symbol, job), images in self._images.items():
                if subscription in self.routes.of(channel, symbol, origin=job):
                    for record in sorted(images.values(), key=attrgetter("n")):
                        subscription.seed(record)

    def forget(self, subscription: Subscription) -> list[Part]:
        """Leave; returns the parts that nobody uses any more."""
        self.routes.discard(subscription)
        for part in subscription.parts:
            if subscription in part.users:
                part.users.remove(subscription)
        unused = [part for part in self.parts if not part.users]
        self.parts = [part for part in self.parts if part.users]
        for channel, symbol, job in list(self._images):
            if not self.routes.of(channel, symbol, origin=job):
                del self._images[channel, symbol, job]
        return unused

    def end(self, error: Exception | None) -> None:
        for subscription in self.routes:
            subscription.end(error)
            self.forget(subscription)

    def end_empty(self) -> None:
        """End the subscriptions for which the server streams nothing any more, with the last reason it gave."""
        for subscription in self.routes:
            if not any(part.sid is not None for part in subscription.parts):
                errors = subscription.errors
                subscription.end(errors[-1].error if errors else None)
                self.forget(subscription)

    # ------------------------------------------------------------------------------------------- Receiver
    async def take_records(self, records: list[Record]) -> None:
        routes_of = self.routes.of
        for record in records:
            data = record.data
            channel, symbol, job = data["ch"], data["s"], data.get("job")
            if channel == "status" and data.get("event") == "end":
                self._replay_over(symbol, None)
            takers = routes_of(channel, symbol, origin=job)
            if not takers:
                self.unrouted += 1  # of a stream that was just left
                continue
            if channel in IMAGE_CHANNELS:
                kind = None if channel in BOARD_IMAGE_CHANNELS else data.get("mt")
                self._images.setdefault((channel, symbol, job), {})[data.get("bd"), kind] = record
            for subscription in takers:
                if subscription.full:
                    self._blocked_by = subscription
                await subscription.deliver(record)
        self._blocked_by = None

    def take_control(self, members: dict[str, Any]) -> None:
        match members["t"]:
            case "hb":
                feeds = members.get("feeds")
                self.feeds = feeds if isinstance(feeds, dict) else {}
                self.heartbeat.set()
            case "gap":
                self._announce(members, why=str(members.get("why", "gap")))
            case "state":
                part = self._part(members.get("sid"))
                if part is not None:
                    part.state = str(members.get("state"))
                    if part.state == "closed" and part.replays is not None:
                        self._replay_over(part.replays, None)
            case "replay":
                self._replay_news(members)
            case "resumed":
                self._resumed(members)
            case "notice":
                self._notice(members)
                self._notify(members)
            case "error":
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
    def _notice(self, members: dict[str, Any]) -> None:
        code = str(members.get("code"))
        if code == "SKIPPED":
            self._announce(members, why="skipped")
        elif code in ("SLOW_START", "SLOW_END"):
            for subscription in self.routes:
                subscription.conflating(code == "SLOW_START")
        elif code.startswith("REPLAY_"):
            self._replay_news(members)
        elif members.get("action") == "unsubscribed":
            part = self._part(members.get("sid"))
            if part is not None:
                symbol = str(members.get("s"))
                part.withdrawn(symbol, error_of(code, str(members.get("msg") or f"{part.channel} {symbol} was ended")))
                self.end_empty()

    def _replay_news(self, members: dict[str, Any]) -> None:
        """A notice or message about a replay: its end, or how far it is."""
        part = self._part(members.get("sid"))
        word = str(members.get("state") or str(members.get("code", "")).removeprefix("REPLAY_")).lower()
        if part is None or part.replays is None or word not in REPLAY_ENDS:
            return
        failed = REPLAY_ENDS[word]
        error = error_of(str(members.get("error") or "INTERNAL"), str(members.get("msg") or "the replay failed"))
        self._replay_over(part.replays, error if failed else None)

    def _replay_over(self, origin: str, error: Exception | None) -> None:
        """End what follows a replay; who goes on live with it keeps the part."""
        for part in [part for part in self.parts if part.replays == origin]:
            part.replays = None
            part.operation = {name: value for name, value in part.operation.items() if name != "origin"}
            for subscription in [user for user in part.users if user.origin == origin]:
                subscription.end(error)
                self.forget(subscription)

    def _part(self, sid: object) -> Part | None:
        return None if sid is None else next((part for part in self.parts if part.sid == sid), None)

    def _resumed(self, members: dict[str, Any]) -> None:
        part, symbol, first = self._part(members.get("sid")), members.get("s"), members.get("from")
        if part is not None and isinstance(symbol, str) and isinstance(first, int):
            for subscription in part.users:
                subscription.resumed(part.channel, symbol, first=first)

    def _announce(self, members: dict[str, Any], *, why: str) -> None:
        part = self._part(members.get("sid"))
        first, last, symbol = members.get("from"), members.get("to"), members.get("s")
        if part is None or not isinstance(first, int) or not isinstance(symbol, str):
            log.warning("a gap of no known subscription: %s", members)
            return
        for subscription in part.users:
            if any(matches(pattern, symbol) for pattern in subscription.symbols):
                subscription.announce(
                    part.channel, symbol, first=first, last=last if isinstance(last, int) else None, why=why
                )

    def _notify(self, members: dict[str, Any]) -> None:
        log.info("%s", members)
        if self._on_notice is not None:
            try:
                self._on_notice(members)
            except Exception:
                log.exception("on_notice raised")
