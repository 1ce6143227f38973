"""One client's session: operations in, replies into its outbox, streams joined and left in the hub.

Everything here happens between two awaits of the consumer, so that the order holds without locks: a sub's reply, then
its last images, then the records that come after them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from subscriptions.entitlements import Grant
from subscriptions.gateway import replies
from subscriptions.gateway.catalog import Catalog
from subscriptions.gateway.grants import ANY_DELAY, Access, access, next_change_ns, placed
from subscriptions.gateway.heads import LIVE, stream_key
from subscriptions.gateway.hub import FULL, WILDCARD, Hub, Member, Stream
from subscriptions.gateway.origins import delay_of, lasting
from subscriptions.gateway.outbox import Outbox
from subscriptions.gateway.rate import SessionRate, Verdict
from subscriptions.protocol import CHANNELS_OF_IMAGES, ListSubscriptions, ProtocolError, Subscribe, Unsubscribe

Taken = tuple[str, str, str]  # (origin, channel, symbol)


@dataclass(slots=True, eq=False)
class Subscription:
    sid: int
    operation: Subscribe
    granted: dict[str, object]
    symbols: dict[str, int] = field(default_factory=dict)  # symbol → level


class Session:
    def __init__(self, name: str, *, hub: Hub, catalog: Catalog, outbox: Outbox, clock_ns: Callable[[], int]) -> None:
        self.name = name
        self.hub, self.catalog, self.outbox, self.clock_ns = hub, catalog, outbox, clock_ns
        self.address = ""
        self.opened_ns = clock_ns()
        self.state = "opening"  # opening → open → closing
        self.grant: Grant | None = None
        self.subscriptions: dict[int, Subscription] = {}
        self.recheck_ns: int | None = None
        self._taken: dict[Taken, int] = {}  # what a sid already follows → sid
        self._sids = 0
        self._rate = SessionRate(1, at_ns=self.opened_ns)
        outbox.sid_of = self.sid_of
        hub.add_member(Member(name, outbox, lambda origin, channel, *of: self.allows(origin, channel, of=of)))

    @property
    def public_id(self) -> str:
        """The name clients and operators see: `s_9f2c01ab44de`."""
        return f"s_{self.name.rpartition('.')[2][:12]}"

    # Rights

    @property
    def anonymous(self) -> bool:
        return self.grant is None or not self.grant.key_id

    def open(self, grant: Grant) -> None:
        """Take the first grant, or the one of a later `auth`; limits follow it."""
        self._rate = SessionRate(grant.limits.ops_per_s, at_ns=self.clock_ns())
        self.state = "open"
        self.regrant(grant)

    def regrant(self, grant: Grant) -> None:
        """Take changed rights: streams that they no longer cover end here and now."""
        self.grant = grant
        self.recheck()

    def recheck(self) -> None:
        now_ns = self.clock_ns()
        if self.grant is not None:
            self.recheck_ns = next_change_ns(self.grant, after_ns=now_ns)
        for origin, stream in self.hub.recheck(self.name):
            self.lost(origin, stream)
        for sid, subscription in list(self.subscriptions.items()):
            if WILDCARD in subscription.symbols and self._access(subscription.operation, WILDCARD).code is not None:
                self._end_wildcard(sid, subscription)

    def allows(self, origin: str, channel: str, *, of: tuple[str, str | None]) -> int | None:
        """The hub's question at join, at a market's change and at a recheck."""
        if self.grant is None:
            return None
        symbol, market = of
        market = market or self.catalog.market_of(symbol)
        found = access(self.grant, channel, symbol=symbol, market=market, at_ns=self.clock_ns(), origin=origin)
        return found.level if found.code is None else None

    def lost(self, origin: str, stream: Stream) -> None:
        """A stream that the session followed is no longer allowed: say so, at the place in the order where it ends."""
        sid = self._taken.pop((origin, stream.channel, stream.symbol), None)
        if sid is not None:
            self.subscriptions[sid].symbols.pop(stream.symbol, None)
            if not self.subscriptions[sid].symbols:
                del self.subscriptions[sid]
        else:
            sid = self._taken.get((origin, stream.channel, WILDCARD))
        self.outbox.strict.discard((_queued_as(origin), stream.key))
        code = self._stream_access(origin, stream).code or "NOT_ENTITLED"
        self._say_ended(code, sid=sid, channel=stream.channel, symbol=stream.symbol)

    def _end_wildcard(self, sid: int, subscription: Subscription) -> None:
        operation = subscription.operation
        code = self._access(operation, WILDCARD).code
        self._forget(sid, subscription)
        self._say_ended(code or "NOT_ENTITLED", sid=sid, channel=operation.channel, symbol=WILDCARD)

    def _say_ended(self, code: str, *, sid: int | None, channel: str, symbol: str) -> None:
        self.outbox.put_control(replies.notice(code, sid=sid, ch=channel, s=symbol, action="unsubscribed"))

    # Operations

    def spend(self) -> Verdict:
        return self._rate.spend(self.clock_ns())

    def subscribe(self, operation: Subscribe) -> None:
        grant = self._granted(operation)
        if any(rule.delay_s for rule in grant.rules):
            operation = placed(operation, [self._access(operation, one, origin=ANY_DELAY) for one in operation.symbols])
        ok: dict[str, Access] = {}
        errors: list[dict[str, str]] = []
        room = grant.limits.symbols - len(self._taken)
        for symbol in operation.symbols:
            found = self._check(operation, symbol, room=room - len(ok))
            if found.code is None:
                ok[symbol] = found
            else:
                errors.append({"s": symbol, "code": found.code, "msg": found.why})
        if not ok:
            frame = replies.subscribed(operation.id, sid=None, granted=None, ok=(), errors=errors)
            return self.outbox.put_control(frame)
        self._sids += 1
        levels = {symbol: _lower(operation.depth, found.level) for symbol, found in ok.items()}
        granted = _granted_members(operation, levels)
        subscription = self.subscriptions[self._sids] = Subscription(self._sids, operation, granted, levels)
        self.outbox.put_control(
            replies.subscribed(operation.id, sid=self._sids, granted=granted, ok=tuple(ok), errors=errors)
        )
        for symbol in ok:
            self._taken[(operation.origin, operation.channel, symbol)] = self._sids
        self._answer_resume(subscription)
        if WILDCARD in ok:
            self._join_all(subscription)
        else:
            self._join_named(subscription)

    def unsubscribe(self, operation: Unsubscribe) -> None:
        subscription = self.subscriptions.get(operation.sid)
        if subscription is None:
            raise ProtocolError("NOT_SUBSCRIBED", f"sid {operation.sid} is not open in this session", id=operation.id)
        self._forget(operation.sid, subscription)
        self.outbox.put_control(replies.unsubscribed(operation.id, sid=operation.sid))

    def list(self, operation: ListSubscriptions) -> None:
        rows = [
            {
                "sid": one.sid,
                "ch": one.operation.channel,
                "origin": _queued_as(one.operation.origin),
                "symbols": list(one.symbols),
                "granted": one.granted,
                "state": self._state(one),
            }
            for one in self.subscriptions.values()
            if operation.channel in (None, one.operation.channel)
        ]
        self.outbox.put_control(replies.listing(operation.id, rows))

    def close(self) -> None:
        """Leave the hub; what is still queued is discarded with the session."""
        self.state = "closing"
        self.hub.remove_member(self.name)
        self.subscriptions.clear()
        self._taken.clear()

    def sid_of(self, origin: str, key: bytes) -> int | None:
        """The subscription a record belongs to: by name first, else the channel's `*`."""
        _, _, _, channel, _, _, _, symbol, _ = key.decode().split('"', 8)
        return self._sid_following(origin, channel, symbol)

    def _sid_following(self, origin: str, channel: str, symbol: str) -> int | None:
        """A stream is followed once in a session, live or delayed: the records are the same bytes."""
        origins = [origin]
        if lasting(origin):
            origins = [one for one in self.hub.origins if lasting(one)]
        names = [(one, channel, name) for name in (symbol, WILDCARD) for one in origins]
        return next((self._taken[name] for name in names if name in self._taken), None)

    # Parts of a sub

    def _granted(self, operation: Subscribe) -> Grant:
        if self.grant is None:
            raise ProtocolError("AUTH_REQUIRED", "authenticate first", id=operation.id)
        if operation.origin != LIVE and "replay" not in self.grant.scopes:
            code = "AUTH_REQUIRED" if self.anonymous else "NOT_ENTITLED"
            raise ProtocolError(code, "following a replay needs a key with the scope replay", id=operation.id)
        return self.grant

    def _check(self, operation: Subscribe, symbol: str, *, room: int) -> Access:
        origin, channel = operation.origin, operation.channel
        taken = self._sid_following(origin, channel, symbol)
        if taken is None and symbol == WILDCARD:
            same = ((_queued_as(place[0]), place[1], sid) for place, sid in self._taken.items())
            taken = next((sid for *place, sid in same if place == [_queued_as(origin), channel]), None)
        if taken is not None:
            return Access("BAD_PARAM", f"sid {taken} follows it already; unsub that first")
        if symbol != WILDCARD and not self.catalog.knows(symbol):
            return Access("SYMBOL_UNKNOWN", "no instrument, index, board or feed of this name")
        found = self._access(operation, symbol)
        if found.code is None and room <= 0:
            return Access("SYMBOL_LIMIT", f"at most {self.grant.limits.symbols if self.grant else 0} symbols a session")
        return found

    def _access(self, operation: Subscribe, symbol: str, *, origin: str | None = None) -> Access:
        stream = self.hub.origins.get(operation.origin, {}).get(stream_key(operation.channel, symbol))
        market = stream.market.decode() if stream is not None and stream.market else self.catalog.market_of(symbol)
        assert self.grant is not None, "only asked once a grant is there"
        origin = origin or operation.origin
        return access(self.grant, operation.channel, symbol=symbol, market=market, at_ns=self.clock_ns(), origin=origin)

    def _stream_access(self, origin: str, stream: Stream) -> Access:
        assert self.grant is not None, "a session without a grant follows nothing"
        market = stream.market.decode() if stream.market else self.catalog.market_of(stream.symbol)
        return access(
            self.grant, stream.channel, symbol=stream.symbol, market=market, at_ns=self.clock_ns(), origin=origin
        )

    def _join_named(self, subscription: Subscription) -> None:
        operation, pending = subscription.operation, self.outbox.pending
        for symbol, level in subscription.symbols.items():
            key = stream_key(operation.channel, symbol)
            if subscription.granted["on_slow"] == "disconnect":
                self.outbox.strict.add((_queued_as(operation.origin), key))
            if operation.snapshot:
                pending.extend(self.hub.images(operation.origin, key, level=level))
            self.hub.join(self.name, operation.origin, (key, operation.channel, symbol), level=level)

    def _join_all(self, subscription: Subscription) -> None:
        operation, pending = subscription.operation, self.outbox.pending
        member = self.hub.members[self.name]
        level = subscription.symbols[WILDCARD]
        for stream in self.hub.join_all(self.name, operation.origin, operation.channel, level=level):
            if operation.snapshot:
                joined = member.streams[(operation.origin, stream.key)]
                pending.extend(self.hub.images(operation.origin, stream.key, level=joined))

    def _answer_resume(self, subscription: Subscription) -> None:
        """Resume is never partial. Without a history the gateway can only confirm that nothing was missed."""
        operation = subscription.operation
        for symbol, epoch, number in operation.resume:
            if symbol not in subscription.symbols:
                continue
            stream = self.hub.origins.get(operation.origin, {}).get(stream_key(operation.channel, symbol))
            current = stream is not None and stream.epoch == epoch.encode()
            if stream is not None and current and stream.number == number:
                frame = replies.resumed(sid=subscription.sid, symbol=symbol, from_=number + 1)
            else:
                why = "epoch" if stream is not None and stream.epoch and not current else "retention"
                last = stream.number if stream is not None and current else None
                frame = replies.gap(sid=subscription.sid, symbol=symbol, from_=number + 1, to=last, why=why)
            self.outbox.put_control(frame)

    def _forget(self, sid: int, subscription: Subscription) -> None:
        operation = subscription.operation
        del self.subscriptions[sid]
        for symbol in subscription.symbols:
            self._taken.pop((operation.origin, operation.channel, symbol), None)
            if symbol == WILDCARD:
                self.hub.leave_all(self.name, operation.origin, operation.channel)
            else:
                key = stream_key(operation.channel, symbol)
                self.outbox.strict.discard((_queued_as(operation.origin), key))
                self.hub.leave(self.name, operation.origin, key)

    def _state(self, subscription: Subscription) -> str:
        """`waiting` until the first record of any of its streams, then `running`."""
        operation = subscription.operation
        streams = self.hub.origins.get(operation.origin, {})
        if WILDCARD in subscription.symbols:
            members = self.hub.members[self.name].streams
            return "running" if any(origin == operation.origin for origin, _ in members) else "waiting"
        found = (streams.get(stream_key(operation.channel, symbol)) for symbol in subscription.symbols)
        return "running" if any(stream is not None and stream.epoch for stream in found) else "waiting"


def _queued_as(origin: str) -> str:
    """The origin that a queued record shows: a delayed one has the bytes of its live one."""
    return LIVE if lasting(origin) else origin


def _lower(wanted: int | None, granted: int) -> int:
    """The level of a stream; FULL is above every number, and a request for ten or more asks for all there is."""
    if wanted is None or wanted >= 10:
        return granted
    return wanted if granted == FULL else min(wanted, granted)


def _granted_members(operation: Subscribe, levels: dict[str, int]) -> dict[str, object]:
    """What the reply states: never what was asked, always what is given."""
    image = operation.channel in CHANNELS_OF_IMAGES
    natural = "conflate" if image and lasting(operation.origin) else "skip"
    granted: dict[str, object] = {
        "conflate_ms": 0,
        "timeliness": "delayed" if delay_of(operation.origin) else "realtime",
        "on_slow": "disconnect" if operation.on_slow == "disconnect" and WILDCARD not in levels else natural,
        "origin": _queued_as(operation.origin),
    }
    if delay_of(operation.origin):
        granted["delay_s"] = delay_of(operation.origin)
    if operation.channel == "depth":
        given = {symbol: level if level != FULL else 10 for symbol, level in levels.items()}
        most = max(given.values())
        granted["depth"] = most
        below = {symbol: level for symbol, level in given.items() if level < most}
        if below:
            granted["depths"] = below
    return granted
