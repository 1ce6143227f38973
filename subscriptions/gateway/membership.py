"""Who follows which stream in which view: members, streams and variants, without the records.

A member joins a stream by name or through a wildcard, which also takes the streams to come. Its follow is attached to
the variant of its view at once, or once it has caught up.
"""

from __future__ import annotations

from subscriptions.gateway.bar_clock import BarClock
from subscriptions.gateway.following import LATE, LIVE_NOW, SUSPENDED, Follow, Member, Wild
from subscriptions.gateway.heads import LIVE, stream_key
from subscriptions.gateway.history import HISTORY_CHANNELS, History
from subscriptions.gateway.origins import lasting
from subscriptions.gateway.outbox import StreamName
from subscriptions.gateway.stream import Stream
from subscriptions.gateway.variants import DerivedVariant, FlushFirst, Variant, variant_of
from subscriptions.gateway.views import FULL, VIEWS_OF, View, lower_level

RAW = "raw"
STREAMS_MAX = 200_000  # streams known of an origin; past it: records of further ones are counted in `refused`, not kept


class Membership:
    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.origins: dict[str, dict[bytes, Stream]] = {LIVE: {}}
        self.symbols: set[str] = set()  # seen in live records
        self.waiting: dict[int, list[DerivedVariant]] = {}  # bucket → variants with something to flush
        self.fresh: list[Variant] = []  # variants that had a record since the last tick; never replaced: they append
        self.delivered = self.refused = 0
        self.bar_clock = BarClock()
        self.follows = 0  # of all members
        self.raw_followers = 0  # follows and wildcards of channel raw, whose source is not PARSED
        self._wild: dict[tuple[str, str], dict[str, Member]] = {}  # (origin, source channel) → members

    def add_member(self, member: Member) -> None:
        self.members[member.name] = member
        member.outbox.on_lost = lambda name: self._suspend(member, name)

    def remove_member(self, name: str) -> None:
        member = self.members.pop(name, None)
        if member is None:
            return
        for wild in list(member.wilds):
            self._forget_wild(member, wild)
        for follow in list(member.follows.values()):
            self.detach(member, follow)

    def join(
        self, name: str, origin: str, symbol: str, *, view: View, sid: int | None = None, on_slow: str = ""
    ) -> Follow | None:
        """Follow one stream by name; None when the member is gone or the bound of streams is met."""
        member = self.members.get(name)
        stream = self.stream(origin, view.source, symbol) if member is not None else None
        if member is None or stream is None:
            return None
        follow = Follow(origin, stream, view, sid=sid, on_slow=on_slow)
        self.attach(member, follow)
        return follow

    def leave(self, name: str, key: StreamName) -> None:
        member = self.members.get(name)
        follow = member.follows.get(key) if member is not None else None
        if member is not None and follow is not None:
            self.detach(member, follow)

    def join_all(self, name: str, wild: Wild) -> list[Follow]:
        """Follow every stream of a channel that the pattern covers and the member may see, those to come included."""
        member = self.members[name]
        member.wilds.append(wild)
        self._wild.setdefault((wild.origin, wild.view.source), {})[name] = member
        self.raw_followers += wild.view.channel == RAW
        streams = self.origins.setdefault(wild.origin, {})
        found = (self._admit(member, wild, stream) for stream in list(streams.values()))
        return [follow for follow in found if follow is not None]

    def leave_all(self, name: str, wild: Wild) -> None:
        member = self.members.get(name)
        if member is None or wild not in member.wilds:
            return
        self._forget_wild(member, wild)
        for follow in list(member.follows.values()):
            if (
                follow.pattern == wild.pattern
                and follow.view.channel == wild.view.channel
                and follow.origin == wild.origin
            ):
                self.detach(member, follow)
        self._drop_if_unheard(wild.origin)

    def change(self, name: str, key: StreamName, *, view: View, on_slow: str) -> None:
        """Follow the same stream in another view, without a hole; a book at another level begins with a snapshot."""
        member = self.members[name]
        follow = member.follows[key]
        old = follow.view
        behind = follow.state != LIVE_NOW
        if behind or old == view:
            follow.on_slow = on_slow
        if old == view:
            return self.note_policy(member, follow)
        if not behind:
            self.flush(follow)
        state, at = follow.state, follow.at
        self.detach(member, follow, keep_origin=True)
        changed = Follow(
            follow.origin, follow.stream, view, sid=follow.sid, on_slow=on_slow, pattern=follow.pattern, state=state,
            at=at, epoch=follow.epoch, answered=follow.answered,
        )  # fmt: skip
        self.attach(member, changed)
        if not behind and view.channel == "book" and (old.level, old.boards) != (view.level, view.boards):
            member.outbox.put(self.snapshot(changed))

    def recheck(self, name: str) -> list[Follow]:
        """Ask the rights of one member again for all it follows; the follows it lost."""
        member = self.members.get(name)
        if member is None:
            return []
        lost = []
        for key, follow in list(member.follows.items()):
            granted = member.allows(follow.origin, follow.view.channel, follow.stream)
            if granted is None:
                self.detach(member, follow)
                lost.append(follow)
            elif granted != FULL and (follow.view.level == FULL or granted < follow.view.level):
                self.change(name, key, view=follow.view._replace(level=granted), on_slow=follow.on_slow)
        for wild in list(member.wilds):
            for stream in list(self.origins.get(wild.origin, {}).values()):
                admitted = self._admit(member, wild, stream)
                if admitted is not None:
                    member.outbox.put(self.snapshot(admitted))
        return lost

    def snapshot(self, follow: Follow) -> list[bytes]:
        """What a follower of a lasting origin starts with; of a replay only a book, which is nothing without it."""
        variant = follow.stream.variants.get(follow.view)
        if variant is None or not (lasting(follow.origin) or follow.view.channel == "book"):
            return []
        return variant.images(follow.stream)

    # Attachment

    def attach(self, member: Member, follow: Follow) -> None:
        """Make the member follow; at once when it is not behind, later when it is."""
        before = member.follows.get(follow.name)
        if before is not None:
            self.detach(member, before, keep_origin=True)
        member.follows[follow.name] = follow
        self.follows += 1
        self.raw_followers += follow.view.channel == RAW
        self.note_policy(member, follow)
        if follow.state == LIVE_NOW:
            self.make_live(member, follow)
        elif follow.state != LATE:
            member.behind[follow.name] = follow
        else:
            follow.stream.late = follow.stream.late or {}
            follow.stream.late[_late_key(member, follow)] = follow

    def make_live(self, member: Member, follow: Follow) -> None:
        """From the stream's next record on, the member gets what everybody in its variant gets."""
        follow.state = LIVE_NOW
        member.behind.pop(follow.name, None)
        fresh = follow.view not in follow.stream.variants
        variant = self.variant(follow)
        if not fresh:
            self.delivered += variant.flush()
        variant.join(member.name, member.outbox)

    def variant(self, follow: Follow) -> Variant:
        """The variant that serves a follow, new if need be."""
        stream, view = follow.stream, follow.view
        variant = stream.variants.get(view)
        if variant is None:
            stream.minute = self.bar_clock.minute(follow.origin, stream.market)
            variant = stream.variants[view] = variant_of(view, stream, on_waiting=self._note_waiting)
            variant.on_fresh = self.fresh.append
            stream.fanout = None
            self._order_quotes(follow.origin, stream, view)
        return variant

    def detach(self, member: Member, follow: Follow, *, keep_origin: bool = False) -> None:
        name, stream = follow.name, follow.stream
        if member.follows.get(name) is not follow:
            return
        del member.follows[name]
        self.follows -= 1
        self.raw_followers -= follow.view.channel == RAW
        member.behind.pop(name, None)
        member.outbox.policies.pop(name, None)
        if stream.late is not None:
            stream.late.pop(_late_key(member, follow), None)
            stream.late = stream.late or None
        variant = stream.variants.get(follow.view)
        if variant is not None:
            variant.leave(member.name)
            if not variant.members:
                del stream.variants[follow.view]
                stream.fanout = None
        if not keep_origin:
            self._drop_if_unheard(follow.origin)

    def note_policy(self, member: Member, follow: Follow) -> None:
        if follow.on_slow:
            member.outbox.policies[follow.name] = follow.on_slow
        else:
            member.outbox.policies.pop(follow.name, None)

    def flush(self, follow: Follow) -> None:
        variant = follow.stream.variants.get(follow.view)
        if variant is not None:
            self.delivered += variant.flush()

    def stream(self, origin: str, channel: str, symbol: str) -> Stream | None:
        """The stream, new if need be; None when the bound is met."""
        streams = self.origins.setdefault(origin, {})
        key = stream_key(channel, symbol)
        stream = streams.get(key)
        if stream is None:
            if len(streams) >= STREAMS_MAX:
                return None
            stream = streams[key] = Stream(key, channel, symbol)
            kept = channel in HISTORY_CHANNELS and (channel != RAW or origin == LIVE)  # raw is long: once is enough
            if lasting(origin) and kept and stream.ordered:
                stream.history = History()
            for member in list(self._wild.get((origin, channel), {}).values()):
                self._admit_wilds(member, origin, stream)
        return stream

    def _admit_wilds(self, member: Member, origin: str, stream: Stream) -> None:
        for wild in member.wilds:
            if wild.origin == origin and wild.view.channel in VIEWS_OF.get(stream.channel, (stream.channel,)):
                self._admit(member, wild, stream)

    def _admit(self, member: Member, wild: Wild, stream: Stream) -> Follow | None:
        """Let a wildcard's member follow a stream if it covers it and its rights allow, and it does not already."""
        view = wild.view
        if stream.channel != view.source or not wild.covers(stream.symbol):
            return None
        follow = Follow(wild.origin, stream, view, sid=wild.sid, on_slow=wild.on_slow, pattern=wild.pattern)
        if follow.name in member.follows:
            return None
        granted = member.allows(wild.origin, view.channel, stream)
        if granted is None:
            return None
        follow.view = view._replace(level=lower_level(view.level, granted))
        self.attach(member, follow)
        return follow

    def _suspend(self, member: Member, name: StreamName) -> None:
        """The outbox dropped deltas of a book: nothing more of it until a snapshot."""
        follow = member.follows.get(name)
        if follow is None or follow.state == SUSPENDED:
            return
        variant = follow.stream.variants.get(follow.view)
        if variant is not None:
            variant.leave(member.name)
        follow.state = SUSPENDED
        member.behind[name] = follow

    def _forget_wild(self, member: Member, wild: Wild) -> None:
        member.wilds.remove(wild)
        self.raw_followers -= wild.view.channel == RAW
        place = (wild.origin, wild.view.source)
        if any((other.origin, other.view.source) == place for other in member.wilds):
            return
        members = self._wild.get(place, {})
        members.pop(member.name, None)
        if not members:
            self._wild.pop(place, None)

    def is_wanted(self, origin: str, channel: str, symbol: str) -> bool:
        """Whether anybody follows a stream, or did as long as it is known."""
        if stream_key(channel, symbol) in self.origins.get(origin, ()):
            return True
        members = self._wild.get((origin, channel), {}).values()
        return any(
            wild.origin == origin and wild.view.source == channel and wild.covers(symbol)
            for member in members
            for wild in member.wilds
        )

    def is_followed(self, origin: str) -> bool:
        """Whether anybody follows a stream of this origin, or waits for one."""
        if any(place == origin for place, _ in self._wild):
            return True
        return any(stream.variants or stream.late for stream in self.origins.get(origin, {}).values())

    def _drop_if_unheard(self, origin: str) -> None:
        """Replay streams live as long as somebody follows them."""
        if lasting(origin) or origin not in self.origins or any(place == origin for place, _ in self._wild):
            return
        if not any(stream.variants or stream.late for stream in self.origins[origin].values()):
            del self.origins[origin]
            self.bar_clock.forget(origin)

    def _order_quotes(self, origin: str, stream: Stream, view: View) -> None:
        """A conflated quote is flushed by the trades of its symbol, before them."""
        if view.channel != "quote" or not view.conflate_ms:
            return
        trades = self.stream(origin, "trade", stream.symbol)
        if trades is not None and trades.first is None:
            trades.first, trades.fanout = FlushFirst(stream), None

    def _note_waiting(self, variant: DerivedVariant) -> None:
        self.waiting.setdefault(variant.view.conflate_ms, []).append(variant)


def _late_key(member: Member, follow: Follow) -> tuple[str, str]:
    return member.name, follow.view.channel
