"""The private replays of this gateway's sessions: started, steered, watched, and led over to the live stream.

Theory of operation. A `replay` makes a job (through a port: who plays is not known here) and a subscription to its
origin, then lets the job go; so no record of it comes before the reply. Every partition says when it has ended. With
`then: live` the job is not over then: a tap begins to hold the live records, the job is extended to a moment just
ahead of now, as fast as it goes, and when that has ended the records that were held and received from that moment on
follow it, and the subscription is live. Both paths carry the same receive time, so nothing is missing or comes twice.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from subscriptions.gateway import replies
from subscriptions.gateway.encodings import line_of
from subscriptions.gateway.following import Follow, Member, stream_name
from subscriptions.gateway.grants import ANY_DELAY
from subscriptions.gateway.heads import LIVE, stream_key
from subscriptions.gateway.layer import Seat, StreamLayer
from subscriptions.gateway.outbox import Outbox
from subscriptions.gateway.replies import clock_text
from subscriptions.gateway.session import Session
from subscriptions.gateway.stream import Stream
from subscriptions.gateway.subscription import Subscription
from subscriptions.gateway.views import View
from subscriptions.operator_grants import user_id_of
from subscriptions.protocol import ProtocolError, Subscribe
from subscriptions.replay_operations import ControlReplay, StartReplay

log = logging.getLogger(__name__)

REPLAYS_PER_SESSION_MAX = 3
NEVER_NS = 2**63 - 1  # the end of a range that will be extended to now
AHEAD_NS = 500_000_000  # of now: where a replay that goes on live hands over; more than two machines' clocks differ by
HELD_RECORDS_MAX = 100_000  # live records held while the replay catches up; past it: a notice GAP, then live
LOOK_S = 2.0
_RX = re.compile(rb'"rx":([0-9]+)')
_PARTITION = re.compile(rb'"partition":([0-9]+)')


@dataclass(frozen=True, slots=True)
class PlayedJob:
    """What a follower's rights depend on."""

    subscriber_id: int | None  # None: an operator's, open to every key with the scope replay
    end_ns: int  # nothing that it plays was received later; NEVER_NS: it goes on live


class ReplayPort(Protocol):
    """Who plays. Every call may fail with a ProtocolError that the client is told."""

    partitions: int

    async def submit(self, asked: StartReplay, *, subscriber_id: int, now_ns: int) -> int:
        """A job that does not play yet; its number."""
        ...

    async def send(self, job_id: int) -> None: ...

    async def control(self, job_id: int, do: str, to_ns: int | None) -> None:
        """pause, resume, seek or cancel; raises BAD_PARAM where that makes no sense."""
        ...

    async def extend(self, job_id: int, to_ns: int) -> None:
        """Go on behind the end, to a new one, as fast as it goes; for one that was asked to go on live."""
        ...

    async def find(self, job_id: int) -> PlayedJob | None:
        """A job that somebody wants to follow; None when there is none that others may know of."""
        ...

    async def look(self, job_ids: Iterable[int]) -> dict[int, str]:
        """Say that these are watched; their states."""
        ...


_port: ReplayPort | None = None


def install(port: ReplayPort | None) -> None:
    """Let sessions of this process replay through `port`; without one they are told that nobody plays."""
    global _port
    _port = port


@dataclass(slots=True, eq=False)
class Playing:
    """One replay of one session."""

    seat: Seat
    sid: int
    asked: StartReplay
    job_id: int
    to_ns: int
    ended: set[bytes] = field(default_factory=set)  # partitions that said so
    tap: Member | None = None  # holds live records; its replay catches up with them
    overflowed: bool = False

    @property
    def origin(self) -> str:
        return f"replay:{self.job_id}"

    @property
    def subscription(self) -> Subscription | None:
        return self.seat.session.subscriptions.get(self.sid)


async def _no_wait() -> None:
    """Nobody serves the channel `raw` here."""


class _Ear(list[bytes]):
    """The queue of a member that is a function."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        super().__init__()
        self._heard = heard

    def append(self, record: bytes) -> None:
        self._heard(record)


class ReplayDesk:
    def __init__(self, layer: StreamLayer, *, raw_ready: Callable[[], Awaitable[None]] = _no_wait) -> None:
        """`raw_ready`: waits until the channel `raw` would miss nothing of what is published."""
        self.layer, self.raw_ready = layer, raw_ready
        self.playing: dict[int, Playing] = {}  # by job
        self.started = self.handed_over = 0
        self._due: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()  # at most one an end of a replay
        self._member = Member("replays", Outbox(1 << 20), lambda *_: 0, lambda event: None)
        self._member.outbox.pending = _Ear(self._status)

    async def run(self) -> None:
        """Until cancelled."""
        self.layer.hub.add_member(self._member)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_looking(), name="replays look")
                group.create_task(self._hand_over(), name="replays hand over")
        finally:
            self.layer.hub.remove_member(self._member.name)

    # Operations

    async def start(self, seat: Seat, asked: StartReplay) -> None:
        session, port = seat.session, _required()
        grant = session.grant
        if grant is None or not grant.key_id:
            raise ProtocolError("AUTH_REQUIRED", "a replay needs a key with the scope replay", id=asked.id)
        if "replay" not in grant.scopes:
            raise ProtocolError("NOT_ENTITLED", "a replay needs a key with the scope replay", id=asked.id)
        if sum(one.seat is seat for one in self.playing.values()) >= REPLAYS_PER_SESSION_MAX:
            raise ProtocolError("SESSION_LIMIT", f"at most {REPLAYS_PER_SESSION_MAX} replays a session", id=asked.id)
        if asked.then_live:
            self._check_live(session, asked)
        now_ns = self.layer.clock_ns()
        if asked.end_ns is None:
            asked = replace(asked, end_ns=self._newest_allowed(session, asked, now_ns=now_ns))
        job_id = await port.submit(asked, subscriber_id=grant.subscriber_id, now_ns=now_ns)
        sid = None if seat.cut else self._subscribe(seat, asked, job_id)
        if sid is None:
            return await port.control(job_id, "cancel", None)
        playing = self.playing[job_id] = Playing(seat, sid, asked, job_id, asked.end_ns or now_ns)
        self.layer.hub.join(self._member.name, playing.origin, playing.origin, view=View("status"))
        self.started += 1
        self.layer.flush_seat(seat)
        if asked.channel == "raw":
            await self.raw_ready()
        await port.send(job_id)

    async def admit(self, session: Session, operation: Subscribe) -> None:
        """Whether the replay that a `sub` names is there for this subscriber; its range then bounds delayed rights.

        Another subscriber's is not found, like one that does not exist: nobody learns which numbers there are, and
        nobody waits for one that somebody else will make. Operators may watch every one.
        """
        grant = session.granted(operation)
        found = await _port.find(int(operation.origin.partition(":")[2])) if _port is not None else None
        if not user_id_of(grant.key_id) and (found is None or found.subscriber_id not in (None, grant.subscriber_id)):
            raise ProtocolError("NOT_FOUND", f"you have no {operation.origin}", id=operation.id)
        if found is not None:
            session.bound_replay(operation.origin, found.end_ns)

    async def control(self, seat: Seat, operation: ControlReplay) -> None:
        found = [one for one in self.playing.values() if one.seat is seat and one.sid == operation.sid]
        if not found:
            raise ProtocolError("NOT_SUBSCRIBED", f"sid {operation.sid} is no replay", id=operation.id)
        (playing,) = found
        if playing.tap is not None and operation.do != "cancel":
            raise ProtocolError("BAD_PARAM", f"do: {operation.do}: the past is over, it goes on live", id=operation.id)
        if operation.to_ns is not None and not playing.asked.start_ns <= operation.to_ns < playing.to_ns:
            raise ProtocolError("BAD_PARAM", "to: expected a moment of the replay's range", id=operation.id)
        await _required().control(playing.job_id, operation.do, operation.to_ns)
        if operation.do == "cancel":
            self._close(playing)
        elif operation.do == "seek":
            playing.ended.clear()
        reply = {"t": "ctl", "id": operation.id, "sid": operation.sid, "do": operation.do}
        seat.outbox.put_control(replies.encode(reply))

    # Parts

    def _check_live(self, session: Session, asked: StartReplay) -> None:
        live = Subscribe(asked.id, asked.channel, asked.symbols, depth=asked.depth)
        for symbol in asked.symbols:
            taken = session._sid_following(live, symbol)
            if taken is not None:
                raise ProtocolError("BAD_PARAM", f"then: sid {taken} follows {symbol} live already", id=asked.id)
            found = session._access(live, symbol)
            if found.code is not None:
                raise ProtocolError(found.code, f"then: {found.why}", id=asked.id)

    def _newest_allowed(self, session: Session, asked: StartReplay, *, now_ns: int) -> int:
        """The end of a range that names none: now, or as long ago as the rights to its symbols are delayed."""
        live = Subscribe(asked.id, asked.channel, asked.symbols, depth=asked.depth)
        rights = [session._access(live, symbol, origin=ANY_DELAY) for symbol in asked.symbols]
        end_ns = now_ns - max((found.delay_s for found in rights if found.code is None), default=0) * 1_000_000_000
        if end_ns <= asked.start_ns:
            code = "BAD_PARAM" if end_ns == now_ns else "DELAYED_ONLY"
            raise ProtocolError(code, f"start: expected a time before {clock_text(end_ns)}", id=asked.id)
        return end_ns

    def _subscribe(self, seat: Seat, asked: StartReplay, job_id: int) -> int | None:
        """The subscription to the job's origin, answered as a `replay`; None when no symbol was granted."""
        session, origin = seat.session, f"replay:{job_id}"
        before = set(session.subscriptions)

        def answer(id: int | str | None, **members: object) -> bytes:
            end = clock_text(asked.end_ns or 0)
            return replies.encode({"t": "replay", "id": id, "origin": origin, "end": end, **members})

        operation = Subscribe(asked.id, asked.channel, asked.symbols, depth=asked.depth, origin=origin)
        session.bound_replay(origin, NEVER_NS if asked.then_live else asked.end_ns or 0)
        session.subscribe(operation, answer=answer)
        return next(iter(set(session.subscriptions) - before), None)

    def _status(self, record: bytes) -> None:
        """A status record of a replay, in the order of its partition's records."""
        line = line_of(record)
        origin, partition = re.match(rb'\{"ch":"status","s":"replay:([0-9]+)"', line), _PARTITION.search(line)
        playing = self.playing.get(int(origin[1])) if origin is not None else None
        if playing is None or partition is None or b'"event":"end"' not in line:
            return
        playing.ended.add(partition[1])
        if len(playing.ended) < _required().partitions:
            return
        playing.ended.clear()
        if playing.subscription is None or not playing.asked.then_live:
            self._finish(playing, "completed")
        elif playing.tap is None:
            self._hold(playing)
            self._due.put_nowait(lambda: self._extend(playing))
        else:
            self._go_live(playing)

    def _finish(self, playing: Playing, state: str) -> None:
        """Say how it ended, at the place in the order where it did, and forget it."""
        if playing.subscription is not None:
            ended = replies.notice("REPLAY_END", sid=playing.sid, job=playing.origin, state=state)
            playing.seat.outbox.put_control(ended)
        self._close(playing)

    def _close(self, playing: Playing) -> None:
        self.playing.pop(playing.job_id, None)
        if playing.tap is not None:
            self.layer.hub.remove_member(playing.tap.name)
        subscription = playing.subscription
        if subscription is not None and subscription.operation.origin == playing.origin:
            for symbol in list(subscription.symbols):
                playing.seat.session._end(subscription, symbol)
        name = stream_name(playing.origin, stream_key("status", playing.origin))
        self.layer.hub.leave(self._member.name, name)

    def _hold(self, playing: Playing) -> None:
        """From here on the live records of the subscription are held."""
        subscription, session = playing.subscription, playing.seat.session
        assert subscription is not None, "asked for before"

        def keep(record: bytes) -> None:
            if len(held) < HELD_RECORDS_MAX:
                list.append(held, record)
            else:
                playing.overflowed = True

        held = _Ear(keep)
        tap = playing.tap = Member(f"tap {playing.origin}", Outbox(1 << 20), session.allows, lambda event: None)
        tap.outbox.pending = held
        self.layer.hub.add_member(tap)
        for symbol, level in subscription.symbols.items():
            self.layer.hub.join(tap.name, LIVE, symbol, view=subscription.view(level))

    async def _extend(self, playing: Playing) -> None:
        playing.to_ns = self.layer.clock_ns() + AHEAD_NS
        try:
            await _required().extend(playing.job_id, playing.to_ns)
        except ProtocolError as error:
            log.warning("replay %d does not go on: %s", playing.job_id, error)
            self._finish(playing, "failed")

    def _go_live(self, playing: Playing) -> None:
        """All between two awaits: the end of the past, what was held, and everything after it."""
        subscription, session, tap = playing.subscription, playing.seat.session, playing.tap
        assert subscription is not None
        assert tap is not None
        held = [record for record in tap.outbox.pending if _received_ns(record) >= playing.to_ns]
        levels, hub = dict(subscription.symbols), self.layer.hub
        hub.remove_member(tap.name)
        playing.tap = None
        for symbol in levels:
            session._taken.pop((subscription.said_origin, playing.asked.channel, symbol), None)
            hub.leave(session.name, stream_name(playing.origin, stream_key(playing.asked.channel, symbol)))
        subscription.operation = replace(subscription.operation, origin=LIVE)
        put = session.outbox.put_control
        put(replies.notice("REPLAY_END", sid=playing.sid, job=playing.origin, state="completed", then="live"))
        if playing.overflowed:
            put(replies.notice("GAP", sid=playing.sid, why="too many live records while the replay caught up"))
        session.outbox.put(held)
        for symbol, level in levels.items():
            session._taken[(LIVE, playing.asked.channel, symbol)] = playing.sid
            view = subscription.view(level)
            stream: Stream | None = hub.stream(LIVE, view.source, symbol)
            if stream is not None:
                hub.attach(session.member, Follow(LIVE, stream, view, sid=playing.sid, on_slow=subscription.on_slow))
        self.handed_over += 1
        self._close(playing)

    # Tasks

    async def _hand_over(self) -> None:
        while True:
            step = await self._due.get()
            try:
                await step()
            except Exception:
                log.exception("a replay could not go on")

    async def _keep_looking(self) -> None:
        """Jobs whose sessions or subscriptions are gone are cancelled; sessions whose jobs are gone are told."""
        while True:
            await asyncio.sleep(LOOK_S)
            if not self.playing or _port is None:
                continue
            try:
                await self._look(_port)
            except Exception as error:
                log.warning("replays not looked after: %s: %s", type(error).__name__, error)

    async def _look(self, port: ReplayPort) -> None:
        for playing in list(self.playing.values()):
            if playing.seat.cut or playing.subscription is None:
                self._close(playing)
                try:
                    await port.control(playing.job_id, "cancel", None)
                except ProtocolError:
                    log.debug("replay %d had ended", playing.job_id)
        found = await port.look(list(self.playing))
        for job_id, state in found.items():
            playing_on = self.playing.get(job_id)
            if playing_on is not None and state in ("failed", "cancelled"):
                self._finish(playing_on, state)
                self.layer.flush_seat(playing_on.seat)


def _required() -> ReplayPort:
    if _port is None:
        raise ProtocolError("FEED_DOWN", "nobody plays replays here")
    return _port


def _received_ns(record: bytes) -> int:
    found = _RX.search(line_of(record))
    return int(found[1]) if found is not None else 0
