"""Asks the server for the streams that subscriptions need, and shares those that are already there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from mdds_client.connection import Connection
from mdds_client.continuity import Gap
from mdds_client.errors import BadParam, ConnectionFailed, FeedDown, Internal, MddsError, RateLimit, RequestTimeout
from mdds_client.parts import Part
from mdds_client.replays import Replay, ReplayRequest
from mdds_client.requests import SubscribeRequest, with_resume
from mdds_client.streams import Streams
from mdds_client.subscription import Subscription

log = logging.getLogger("mdds_client")
RATE_LIMIT_TRIES = 5
FEED_DOWN_TRIES = 60  # a gateway that has just started has no feed yet: minutes, in steps of what it says


class Granting:
    """The parts of a client's subscriptions, asked for, asked for again after a reconnect, and given back."""

    def __init__(self, streams: Streams, *, resume: bool = True) -> None:
        self._streams = streams
        self._resume = resume
        self._turn = asyncio.Lock()  # one subscribe at a time: the next sees what the one before was granted

    async def establish(self, connection: Connection, subscription: Subscription) -> None:
        """Raises the first refusal when nothing was granted; ConnectionFailed when the connection went meanwhile."""
        async with self._turn:
            fresh = self._plan(subscription)
            shared = [part for part in subscription.parts if part not in fresh]
            self._streams.add(subscription)
            try:
                for part in shared:
                    if part.channel == "book" and subscription.request.snapshot:
                        await self._renew(connection, part)  # what came so far began with another's snapshot
                refusals = [error for part in fresh for error in await _ask(connection, part, operation=part.operation)]
                if not any(part.sid is not None for part in subscription.parts):
                    raise refusals[0] if refusals else Internal("the server granted nothing and did not say why")
            except BaseException:
                self._streams.forget(subscription)
                raise

    async def restore(self, connection: Connection) -> None:
        """Ask a new connection for every part again; what it does not grant ends the subscriptions it leaves empty."""
        operations = {part: self._resuming(part) if self._resume else part.operation for part in self._streams.parts}
        for part in operations:
            part.sid = None
        for subscription in self._streams.routes:
            subscription.conflating(False)
            subscription.reconnected()
        for part, operation in operations.items():
            for error in await _ask(connection, part, operation=operation):
                log.warning("%s of %s was not granted again: %s", part.channel, part.operation["symbols"][:8], error)
        self._streams.end_empty()

    async def renew(self, connection: Connection, subscription: Subscription) -> None:
        """Subscribe its streams again, from their snapshots on."""
        async with self._turn:
            for part in subscription.parts:
                await self._renew(connection, part)

    async def change(self, connection: Connection, subscription: Subscription, *, changes: dict[str, Any]) -> None:
        """`set`: other options for the streams it has alone; raises what the server says."""
        async with self._turn:
            shared = [part for part in subscription.parts if len(part.users) > 1]
            if shared:
                raise BadParam(f"set: another subscription of this client shares {shared[0].channel}; end that first")
            for part in subscription.parts:
                if part.sid is not None:
                    reply = await connection.request({"op": "set", "sid": part.sid, **changes})
                    granted = reply.get("granted")
                    part.granted = {**part.granted, **(granted if isinstance(granted, dict) else changes)}
                    part.operation = {**part.operation, **changes}

    async def replay(
        self,
        connection: Connection,
        request: ReplayRequest,
        *,
        on_gap: Callable[[Gap], None],
        leave: Callable[[Subscription], Awaitable[None]],
    ) -> Replay:
        """Begin a replay; its routes are there before its first record is read."""
        stages: list[Subscription] = []

        def begin(reply: dict[str, Any]) -> None:
            job = reply.get("origin") or reply.get("job")
            origin = str(job) if job else None
            wanted = SubscribeRequest((request.channel,), request.symbols, snapshot=False, origin=origin)
            # A new connection follows the replay by its origin; beginning it anew would play everything twice.
            part = Part(wanted.operation(request.channel, list(request.symbols)), replays=origin)
            part.take_reply({"ok": list(request.symbols), **reply})
            for asked in (wanted, *((replace(wanted, origin=None),) if origin and request.then == "live" else ())):
                stage = Subscription(asked, on_gap=on_gap, leave=leave)
                stage.parts.append(part)
                self._streams.add(stage)
                stages.append(stage)

        reply = await connection.request(request.operation(), on_reply=begin)
        return Replay(stages, reply=reply, control=connection.request)

    async def _renew(self, connection: Connection, part: Part) -> None:
        if part.sid is not None:
            await connection.request({"op": "unsub", "sid": part.sid})
        part.sid = None
        for error in await _ask(connection, part, operation=part.operation):
            log.warning("%s of %s was not granted again: %s", part.channel, part.operation["symbols"][:8], error)
        self._streams.end_empty()

    async def leave(self, connection: Connection | None, subscription: Subscription) -> None:
        for part in self._streams.forget(subscription):
            if connection is not None and part.sid is not None:
                try:
                    await connection.request({"op": "unsub", "sid": part.sid})
                except MddsError as error:
                    log.info("unsubscribe: %s", error)

    def _plan(self, subscription: Subscription) -> list[Part]:
        """Give the subscription the parts that cover it, and new ones for the rest; returns the new ones."""
        request = subscription.request
        fresh: list[Part] = []
        for channel in request.channels:
            wanted = request.operation(channel, [])
            shared = [part for part in self._streams.parts if part.sid is not None and part.same_stream_as(wanted)]
            missing = []
            for symbol in request.symbols:
                part = next((part for part in shared if part.covers(symbol)), None)
                if part is None:
                    missing.append(symbol)
                elif part not in subscription.parts:
                    subscription.parts.append(part)
            fresh += [Part(operation) for operation in request.operations(channel, missing)]
        subscription.parts += fresh
        return fresh

    def _resuming(self, part: Part) -> dict[str, Any]:
        points: dict[tuple[str, str], tuple[str, int]] = {}
        for user in part.users:
            points.update(user.points())
        return with_resume(part.operation, points)


async def _ask(connection: Connection, part: Part, *, operation: dict[str, Any]) -> list[MddsError]:
    """Send one operation; the refusals, of the whole or of single symbols."""
    tries = 0
    while True:
        try:
            await connection.request(operation, on_reply=part.take_reply)
        except (ConnectionFailed, RequestTimeout):
            raise
        except (RateLimit, FeedDown) as later:
            tries += 1
            tries_max = FEED_DOWN_TRIES if isinstance(later, FeedDown) else RATE_LIMIT_TRIES
            if later.retry_after_ms is not None and tries < tries_max:
                await asyncio.sleep(later.retry_after_ms / 1000)
                continue
            part.refused(later)
        except MddsError as error:
            part.refused(error)
        return [error.error for error in part.errors]
