"""Keeps running sessions to the rights their keys have now.

Three ways lead here, and each alone is enough for a change to hold within a second: a notice from the control layer
(at once), the journal of changed rights that the database keeps (read twice a second, whatever the control layer
does), and the clock, for ends that everybody knew beforehand. Beside them keys are asked for in turn, for what was
changed behind everybody's back. While the database is away sessions go on with the grants they have.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from subscriptions.close_codes import CLOSE_OF_ERROR, CloseCode
from subscriptions.entitlements import Grant, ended
from subscriptions.gateway import replies, shared_sessions
from subscriptions.gateway.account_events import AccountEvents
from subscriptions.gateway.edges import Keys, RightsJournal
from subscriptions.gateway.layer import Seat, StreamLayer
from subscriptions.protocol import ProtocolError

log = logging.getLogger(__name__)

GROUPS = ("rights", "account", shared_sessions.GROUP)
POLL_S = 0.5  # between two readings of the journal; a change holds within two of them
CLOCK_S = 0.2  # between two looks at what time alone has ended
ROUND_POLLS = 4  # between two rounds of asking in turn: an answer costs some 10 ms beside the loop, however few keys
KEYS_PER_ROUND = 100  # while neither notices nor the journal reach us all are asked, at every poll
KEYS_AT_ONCE = 200  # in one question: the database's answer to it is built within some tens of ms
RETRY_S = 0.5


class RightsWatch:
    def __init__(
        self, layer: StreamLayer, *, keys: Keys, control: Any, journal: RightsJournal | None = None,
        account: AccountEvents | None = None,
    ) -> None:  # fmt: skip
        self.layer, self.keys, self.control, self.journal = layer, keys, control, journal
        self.account = account or AccountEvents(layer)
        self.control_up = self.journal_up = False
        self.notices = self.changes = self.refreshed = self.ended = 0
        self._turn = 0

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(), name="rights notices")
            group.create_task(self._read_journal(), name="rights journal")
            group.create_task(self._ask_in_turn(), name="rights in turn")
            group.create_task(self._watch_the_clock(), name="rights in time")

    async def refresh(self, key_ids: Iterable[str]) -> None:
        """Ask for the present grants of these keys, and hold their sessions to them."""
        wanted = list(key_ids)
        for start in range(0, len(wanted), KEYS_AT_ONCE):
            some = wanted[start : start + KEYS_AT_ONCE]
            try:
                found = await self.keys.refresh_all(some)
            except ProtocolError:
                return  # the database is away: live sessions go on with the grants they have
            for key_id, grant in found.items():
                seats = self.layer.open_keys.seats(key_id)
                if isinstance(grant, ProtocolError):
                    self._end(grant, seats)
                else:
                    self.refreshed += 1
                    self._regrant(grant, seats)

    # The ways

    async def _listen(self) -> None:
        while True:
            try:
                channel = await self.control.new_channel()
                for group in GROUPS:
                    await self.control.group_add(group, channel)
                self.control_up = True
                await self.refresh(self.layer.open_keys)  # what changed while nobody listened
                while True:
                    await self._take(await self.control.receive(channel))
            except asyncio.CancelledError:
                raise
            except Exception as error:
                if self.control_up:
                    log.warning("control layer down, the journal of rights goes on: %s", error)
                self.control_up = False
                await asyncio.sleep(RETRY_S)

    async def _take(self, message: dict[str, Any]) -> None:
        if message.get("type") == "account.event":
            return self.account.take(message)
        if message.get("type") == "session.take_over":
            return self.layer.admission.take_over(message)
        self.notices += 1
        await self.refresh(self._keys_of({message.get("subscriber")}))

    async def _read_journal(self) -> None:
        """Without a first reading nobody knows what changed before it: then every open key is asked once."""
        if self.journal is None:
            return
        seen: set[int] | None = None
        newest: int | None = None
        while True:
            try:
                changes = await self.journal(newest)
            except Exception as error:
                if self.journal_up:
                    log.warning("journal of rights not read, grants stay as they are: %s", type(error).__name__)
                self.journal_up = False
                await asyncio.sleep(POLL_S)
                continue
            new = {number: subscriber for number, subscriber in changes if seen is None or number not in seen}
            if seen is None:
                await self.refresh(self.layer.open_keys)
            elif new:
                self.changes += len(new)
                await self.refresh(self._keys_of(set(new.values())))
            seen = {number for number, _ in changes}
            newest = max(seen, default=newest or 0)
            self.journal_up = True
            await asyncio.sleep(POLL_S)

    async def _ask_in_turn(self) -> None:
        polls = 0
        while True:
            await asyncio.sleep(POLL_S)
            polls += 1
            asked = self.layer.open_keys.take_new()  # a change during a login was in no open session yet
            if not (self.control_up or self.journal_up):
                asked.update(self.layer.open_keys)
            elif polls % ROUND_POLLS == 0:
                asked.update(self._next_in_turn())
            await self.refresh(asked)

    def _next_in_turn(self) -> list[str]:
        open_keys = sorted(self.layer.open_keys)
        if len(open_keys) <= KEYS_PER_ROUND:
            return open_keys
        start = self._turn % len(open_keys)
        self._turn = start + KEYS_PER_ROUND
        return (open_keys[start:] + open_keys[:start])[:KEYS_PER_ROUND]

    async def _watch_the_clock(self) -> None:
        while True:
            await asyncio.sleep(CLOCK_S)
            now_ns = self.layer.clock_ns()
            due = [
                seat
                for seat in self.layer.seats.values()
                if (at_ns := seat.session.recheck_ns) is not None and now_ns >= at_ns and not seat.cut
            ]
            for seat in due:
                session = seat.session
                if seat.cut or session.grant is None:
                    continue
                over = ended(session.grant, now_ns)
                if over is not None:
                    self._end_seat(seat, ProtocolError(over.code or "KEY_EXPIRED", over.rule, fatal=True))
                else:
                    session.recheck()
                    self.layer.flush_seat(seat)
            self.account.warn(now_ns=now_ns)

    # What they lead to

    def _keys_of(self, subscribers: set[int | None]) -> set[str]:
        """The open keys of some subscribers; all of them when one is None (a product may concern anybody)."""
        grants = self.layer.open_keys.grants()
        return {one.key_id for one in grants if None in subscribers or one.subscriber_id in subscribers}

    def _regrant(self, grant: Grant, seats: Iterable[Seat]) -> None:
        for seat in seats:
            held = seat.session.grant
            if held is None or held is grant or held == grant or seat.cut:
                continue
            seat.session.regrant(grant)
            seat.outbox.bytes_max = min(grant.limits.queue_bytes, self.layer.settings.outbox_bytes_max)
            self.account.regranted(held, grant)
            self.layer.flush_seat(seat)

    def _end(self, error: ProtocolError, seats: Iterable[Seat]) -> None:
        for seat in seats:
            if not seat.cut:
                self._end_seat(seat, error)

    def _end_seat(self, seat: Seat, error: ProtocolError) -> None:
        """The key is no longer valid: nothing more after this line, then the error and the close."""
        code = CLOSE_OF_ERROR.get(error.code, CloseCode.AUTH)
        self.ended += 1
        held = seat.session.grant
        seat.session.close()
        seat.outbox.discard()
        seat.outbox.put_control(replies.error(error))
        self.layer.flush_seat(seat)
        self.layer.cut(seat, code, error.code)
        if held is not None:
            self.account.key_ended(held, error.code)
