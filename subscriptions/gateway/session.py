"""One client's session: operations in, replies into its outbox, streams joined and left in the hub.

Everything here happens between two awaits of the consumer, so that the order holds without locks: a sub's reply, then
its last images, then the records that come after them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from subscriptions.entitlements import Grant
from subscriptions.gateway import replies
from subscriptions.gateway.catalog import Catalog
from subscriptions.gateway.encodings import PackedFrames
from subscriptions.gateway.following import Began, Denied, Event, Follow, Gap, Member, Resumed, Wild, stream_name
from subscriptions.gateway.grants import ANY_DELAY, Access, access, next_change_ns, placed
from subscriptions.gateway.heads import LIVE, stream_key
from subscriptions.gateway.hub import Hub
from subscriptions.gateway.origins import delayed_origin, lasting
from subscriptions.gateway.outbox import Outbox
from subscriptions.gateway.rate import SessionRate, Verdict
from subscriptions.gateway.stream import Stream
from subscriptions.gateway.subscription import CLOSED, RUNNING, Subscription, is_pattern, level_of, overlap
from subscriptions.gateway.views import FULL, View
from subscriptions.protocol import (
    CHANNELS_OF_DEPTH,
    ListSubscriptions,
    ProtocolError,
    SetSubscription,
    Subscribe,
    Unsubscribe,
)

Taken = tuple[str, str, str]  # (origin as said, channel, symbol or pattern)


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
        self._replay_ends_ns: dict[str, int] = {}  # origin → what it plays was received before this
        self._taken: dict[Taken, int] = {}  # what a sid already follows → sid
        self._sids = 0
        self._rate = SessionRate(1, at_ns=self.opened_ns)
        self.member = Member(name, outbox, self.allows, self._hear)
        outbox.sid_of = self.sid_of
        hub.add_member(self.member)

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
        for follow in self.hub.recheck(self.name):
            self._lost(follow)
        for subscription in list(self.subscriptions.values()):
            for pattern in list(subscription.wilds):
                code = self._access(subscription.operation, pattern).code
                if code is not None:
                    self._end(subscription, pattern)
                    self._say_ended(code, subscription=subscription, symbol=pattern)

    def allows(self, origin: str, channel: str, stream: Stream) -> int | None:
        """The hub's question at join, at a market's change and at a recheck."""
        if self.grant is None:
            return None
        found = self._ask(channel, stream.symbol, market=self._market(stream, stream.symbol), origin=origin)
        return found.level if found.code is None else None

    def _hear(self, event: Event) -> None:
        """The hub's word on a follow, at its place in the order of the records."""
        follow = event.follow
        symbol = follow.stream.symbol
        match event:
            case Resumed():
                frame = replies.resumed(sid=follow.sid, symbol=symbol, from_=event.from_)
                self.outbox.put_control(frame)
            case Gap():
                frame = replies.gap(sid=follow.sid, symbol=symbol, from_=event.from_, to=event.to, why=event.why)
                self.outbox.put_control(frame)
            case Began():
                subscription = self.subscriptions.get(follow.sid or 0)
                if subscription is not None and subscription.state != RUNNING:
                    subscription.state = RUNNING
                    self.outbox.put_control(replies.state(sid=subscription.sid, state=RUNNING))
            case Denied():
                self._lost(follow)

    def _lost(self, follow: Follow) -> None:
        """A stream that the session followed is no longer allowed: say so, at the place in the order where it ends."""
        subscription = self.subscriptions.get(follow.sid or 0)
        symbol = follow.stream.symbol
        if subscription is None:
            return
        market = self._market(follow.stream, symbol)
        found = self._ask(follow.view.channel, symbol, market=market, origin=follow.origin)
        if follow.pattern is None:
            self._end(subscription, symbol)
        self._say_ended(found.code or "NOT_ENTITLED", subscription=subscription, symbol=symbol)

    def _end(self, subscription: Subscription, symbol: str) -> None:
        """One symbol or pattern of a subscription is over; without any left so is the subscription."""
        operation = subscription.operation
        subscription.symbols.pop(symbol, None)
        self._taken.pop((subscription.said_origin, operation.channel, symbol), None)
        wild = subscription.wilds.pop(symbol, None)
        if wild is not None:
            self.hub.leave_all(self.name, wild)
        else:
            self.hub.leave(self.name, stream_name(operation.origin, stream_key(operation.channel, symbol)))
        if not subscription.symbols:
            subscription.state = CLOSED
            self.subscriptions.pop(subscription.sid, None)

    def _say_ended(self, code: str, *, subscription: Subscription, symbol: str) -> None:
        sid, channel = subscription.sid, subscription.operation.channel
        ended = replies.notice(code, sid=sid, ch=channel, s=symbol, action="unsubscribed", state=subscription.state)
        self.outbox.put_control(ended)

    # Operations

    def spend(self) -> Verdict:
        return self._rate.spend(self.clock_ns())

    def subscribe(self, operation: Subscribe, *, answer: Callable[..., bytes] = replies.subscribed) -> None:
        grant = self.granted(operation)
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
            frame = answer(operation.id, sid=None, granted=None, ok=(), errors=errors)
            return self.outbox.put_control(frame)
        self._sids += 1
        packed = self.outbox.frames is PackedFrames
        subscription = Subscription(self._sids, operation, packed, on_slow_max=grant.limits.on_slow)
        self.subscriptions[self._sids] = subscription
        for symbol, found in ok.items():
            subscription.symbols[symbol] = level_of(operation.depth, found.level, channel=operation.channel)
            self._taken[(subscription.said_origin, operation.channel, symbol)] = self._sids
        subscription.state = self._first_state(subscription)
        self.outbox.put_control(
            answer(
                operation.id,
                sid=self._sids,
                granted=subscription.granted(),
                ok=tuple(ok),
                errors=errors,
                state=subscription.state,
            )
        )
        self._join(subscription)

    def change(self, operation: SetSubscription) -> None:
        """`set`: the same streams in another bucket, at another depth, or with another policy; no hole, no repeat."""
        subscription = self._open_subscription(operation.sid, operation.id)
        before = subscription.operation
        if operation.depth is not None and before.channel not in CHANNELS_OF_DEPTH:
            raise ProtocolError("BAD_PARAM", f"depth: no depth on channel {before.channel}", id=operation.id)
        changes = {name: getattr(operation, name) for name in ("conflate_ms", "depth", "on_slow")}
        asked = replace(before, **{name: value for name, value in changes.items() if value is not None})
        subscription.operation = asked
        if self.grant is not None:
            subscription.on_slow_max = self.grant.limits.on_slow
        for symbol in subscription.symbols:
            found = self._access(asked, symbol)
            subscription.symbols[symbol] = level_of(asked.depth, found.level, channel=asked.channel)
        self.outbox.put_control(replies.changed(operation.id, sid=operation.sid, granted=subscription.granted()))
        for pattern, wild in list(subscription.wilds.items()):
            view = subscription.view(subscription.symbols[pattern])
            changed = wild._replace(view=view, on_slow=subscription.on_slow)
            self.member.wilds[self.member.wilds.index(wild)] = subscription.wilds[pattern] = changed
        for key, follow in list(self.member.follows.items()):
            if follow.sid == subscription.sid:
                view = self._view_of(subscription, follow)
                self.hub.change(self.name, key, view=view, on_slow=subscription.on_slow)

    def bound_replay(self, origin: str, end_ns: int) -> None:
        """Nothing that a replay plays was received at or after `end_ns`; without this it counts as real-time."""
        followed = {one.said_origin for one in self.subscriptions.values()}
        ends_ns = {name: at_ns for name, at_ns in self._replay_ends_ns.items() if name in followed}
        self._replay_ends_ns = ends_ns | {origin: end_ns}

    def unsubscribe(self, operation: Unsubscribe) -> None:
        subscription = self._open_subscription(operation.sid, operation.id)
        for symbol in list(subscription.symbols):
            self._end(subscription, symbol)
        self.outbox.put_control(replies.unsubscribed(operation.id, sid=operation.sid))

    def list(self, operation: ListSubscriptions) -> None:
        rows = [
            {
                "sid": one.sid,
                "ch": one.operation.channel,
                "origin": one.said_origin,
                "symbols": list(one.symbols),
                "granted": one.granted(),
                "state": one.state,
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
        self.member.let_go()

    def sid_of(self, origin: str, key: bytes) -> int | None:
        """The subscription a queued record belongs to."""
        follow = self.member.follows.get((origin, key))
        return follow.sid if follow is not None else None

    # Parts of a sub

    def granted(self, operation: Subscribe) -> Grant:
        """The grant, if it lets this session subscribe at all; ProtocolError."""
        if self.grant is None:
            raise ProtocolError("AUTH_REQUIRED", "authenticate first", id=operation.id)
        if operation.origin != LIVE and "replay" not in self.grant.scopes:
            code = "AUTH_REQUIRED" if self.anonymous else "NOT_ENTITLED"
            raise ProtocolError(code, "following a replay needs a key with the scope replay", id=operation.id)
        return self.grant

    def _open_subscription(self, sid: int, id: int | str | None) -> Subscription:
        subscription = self.subscriptions.get(sid)
        if subscription is None:
            raise ProtocolError("NOT_SUBSCRIBED", f"sid {sid} is not open in this session", id=id)
        return subscription

    def _check(self, operation: Subscribe, symbol: str, *, room: int) -> Access:
        taken = self._sid_following(operation, symbol)
        if taken is not None:
            return Access("BAD_PARAM", f"sid {taken} follows it already; unsub that first")
        named = is_pattern(symbol) or operation.channel == "account"  # a subscriber, whom only the grant knows
        if not named and not self.catalog.knows(symbol):
            return Access("SYMBOL_UNKNOWN", "no instrument, index, board or feed of this name")
        found = self._access(operation, symbol)
        if found.code is None and operation.exact:
            wanted = level_of(operation.depth, FULL, channel=operation.channel)
            if level_of(operation.depth, found.level, channel=operation.channel) != wanted:
                return Access("LEVEL_NOT_ENTITLED", f"{found.why} has {found.level} price level(s) a side")
        if found.code is None and room <= 0:
            return Access("SYMBOL_LIMIT", f"at most {self.grant.limits.symbols if self.grant else 0} symbols a session")
        return found

    def _sid_following(self, operation: Subscribe, symbol: str) -> int | None:
        """A stream is followed once in a session, live or delayed: records do not say whose they are."""
        place = (LIVE if lasting(operation.origin) else operation.origin, operation.channel)
        exact = self._taken.get((*place, symbol))
        if exact is not None:
            return exact
        patterns = self._taken if is_pattern(symbol) else (one for one in self._taken if is_pattern(one[2]))
        return next((self._taken[one] for one in patterns if one[:2] == place and overlap(symbol, one[2])), None)

    def _access(self, operation: Subscribe, symbol: str, *, origin: str | None = None) -> Access:
        source = View(operation.channel).source
        stream = self.hub.origins.get(operation.origin, {}).get(stream_key(source, symbol))
        return self._ask(
            operation.channel, symbol, market=self._market(stream, symbol), origin=origin or operation.origin
        )

    def _ask(self, channel: str, symbol: str, *, market: str | None, origin: str) -> Access:
        assert self.grant is not None, "only asked once a grant is there"
        at_ns, end_ns = self.clock_ns(), self._replay_ends_ns.get(origin)
        if end_ns is not None:  # a replay is as late as its range is old
            origin = delayed_origin(max(0, at_ns - end_ns) // 1_000_000_000)
        return access(self.grant, channel, symbol=symbol, market=market, at_ns=at_ns, origin=origin)

    def _market(self, stream: Stream | None, symbol: str) -> str | None:
        known = stream.market if stream is not None else None
        return known.decode() if known else self.catalog.market_of(symbol)

    def _join(self, subscription: Subscription) -> None:
        points = {symbol: (epoch, number) for symbol, epoch, number in subscription.operation.resume}
        for symbol, level in subscription.symbols.items():
            if is_pattern(symbol):
                self._join_pattern(subscription, symbol, points)
            else:
                self._join_one(subscription, symbol, level=level, point=points.get(symbol))

    def _join_one(self, subscription: Subscription, symbol: str, *, level: int, point: tuple[str, int] | None) -> None:
        operation, view = subscription.operation, subscription.view(level)
        stream = self.hub.stream(operation.origin, view.source, symbol)
        if stream is None:
            return
        follow = Follow(operation.origin, stream, view, sid=subscription.sid, on_slow=subscription.on_slow)
        if point is not None:
            follow.epoch, follow.at = point[0].encode(), point[1]
            return self.hub.catch_up.resume(self.member, follow)
        self.hub.attach(self.member, follow)
        if operation.snapshot:
            self.outbox.put(self.hub.snapshot(follow))

    def _join_pattern(self, subscription: Subscription, pattern: str, points: dict[str, tuple[str, int]]) -> None:
        operation = subscription.operation
        view = subscription.view(subscription.symbols[pattern])
        wild = Wild(operation.origin, view, pattern, subscription.sid, subscription.on_slow)
        subscription.wilds[pattern] = wild
        for symbol in points:  # a stream that is not known yet waits for its first record
            if wild.covers(symbol):
                self.hub.stream(operation.origin, view.source, symbol)
        for follow in self.hub.join_all(self.name, wild):
            point = points.get(follow.stream.symbol)
            if point is not None:
                follow.epoch, follow.at = point[0].encode(), point[1]
                self.hub.detach(self.member, follow, keep_origin=True)
                self.hub.catch_up.resume(self.member, follow)
            elif operation.snapshot:
                self.outbox.put(self.hub.snapshot(follow))

    def _view_of(self, subscription: Subscription, follow: Follow) -> View:
        """The view of one follow under the subscription as it is now; its own rights may give it a lower level."""
        granted = self.allows(follow.origin, follow.view.channel, follow.stream)
        wanted = subscription.operation.depth
        return subscription.view(level_of(wanted, granted or 0, channel=follow.view.channel))

    def _first_state(self, subscription: Subscription) -> str:
        """`running` when a record of any of its streams is known already."""
        source = subscription.view(0).source
        streams = self.hub.origins.get(subscription.operation.origin, {})
        for symbol in subscription.symbols:
            if not is_pattern(symbol):
                known = streams.get(stream_key(source, symbol))
                if known is not None and known.epoch:
                    return RUNNING
            elif any(
                one.channel == source and one.symbol.startswith(symbol[:-1]) and one.epoch for one in streams.values()
            ):
                return RUNNING
        return subscription.state
