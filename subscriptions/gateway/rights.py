"""Keeps running sessions to the rights their keys have now: by notices, and by asking when notices may be missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from subscriptions.close_codes import CLOSE_OF_ERROR, CloseCode
from subscriptions.gateway import replies
from subscriptions.gateway.edges import Keys
from subscriptions.gateway.layer import Seat, StreamLayer
from subscriptions.protocol import ProtocolError

log = logging.getLogger(__name__)

GROUP = "rights"
POLL_S = 0.5  # between two rounds of asking; a change reaches a session within two of them
KEYS_PER_ROUND = 25  # asked in a round while notices arrive, in turn; all of them while the control layer fails
ASKED_AT_ONCE = 8
RETRY_S = 0.5


class RightsWatch:
    def __init__(self, layer: StreamLayer, *, keys: Keys, control: Any) -> None:
        self.layer, self.keys, self.control = layer, keys, control
        self.control_up = False
        self.notices = self.refreshed = self.ended = 0
        self._turn = 0

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="rights notices")
            group.create_task(self._ask_in_turn(), name="rights in turn")

    async def refresh(self, key_ids: Iterable[str]) -> None:
        """Ask for the present grants of these keys, and hold their sessions to them."""
        gate = asyncio.Semaphore(ASKED_AT_ONCE)

        async def one(key_id: str) -> None:
            async with gate:
                await self._refresh_key(key_id)

        async with asyncio.TaskGroup() as group:
            for key_id in key_ids:
                group.create_task(one(key_id))

    async def _listen(self) -> None:
        while True:
            try:
                channel = await self.control.new_channel()
                await self.control.group_add(GROUP, channel)
                self.control_up = True
                while True:
                    message = await self.control.receive(channel)
                    self.notices += 1
                    await self.refresh(self._concerned(message))
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if self.control_up:
                    log.warning("control layer down, asking every %.1f s: %s", POLL_S, error)
                self.control_up = False
                await asyncio.sleep(RETRY_S)

    def _concerned(self, message: dict[str, Any]) -> set[str]:
        """The open keys a notice names; all of them when it names no subscriber (a product may concern anybody)."""
        subscriber = message.get("subscriber")
        named = set(message.get("keys") or ())
        return {
            seat.session.grant.key_id
            for seat in self.layer.seats.values()
            if seat.session.grant is not None
            and (subscriber is None or seat.session.grant.subscriber_id == subscriber
                 or seat.session.grant.key_id in named)
        }  # fmt: skip

    async def _ask_in_turn(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            open_keys = sorted(self._seats_by_key())
            if self.control_up and len(open_keys) > KEYS_PER_ROUND:
                start = self._turn % len(open_keys)
                self._turn = start + KEYS_PER_ROUND
                open_keys = (open_keys[start:] + open_keys[:start])[:KEYS_PER_ROUND]
            await self.refresh(open_keys)

    def _seats_by_key(self) -> dict[str, list[Seat]]:
        seats: dict[str, list[Seat]] = {}
        for seat in self.layer.seats.values():
            if seat.session.grant is not None and not seat.cut:
                seats.setdefault(seat.session.grant.key_id, []).append(seat)
        return seats

    async def _refresh_key(self, key_id: str) -> None:
        try:
            grant = await self.keys.refresh(key_id)
        except ProtocolError as error:
            if error.code == "OVERLOADED":
                return  # the database is away: live sessions go on with the grants they have
            self._end(key_id, error)
            return
        self.refreshed += 1
        for seat in self._seats_by_key().get(key_id, ()):
            if seat.session.grant != grant:
                seat.session.regrant(grant)
                seat.outbox.bytes_max = min(grant.limits.queue_bytes, self.layer.settings.outbox_bytes_max)
                self.layer.flush_seat(seat)

    def _end(self, key_id: str, error: ProtocolError) -> None:
        """The key is no longer valid: nothing more after this line, then the error and the close."""
        code = CLOSE_OF_ERROR.get(error.code, CloseCode.AUTH)
        for seat in self._seats_by_key().get(key_id, ()):
            self.ended += 1
            seat.session.close()
            seat.outbox.discard()
            seat.outbox.put_control(replies.error(error))
            self.layer.flush_seat(seat)
            self.layer.cut(seat, code, error.code)
