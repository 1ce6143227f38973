"""The hub: which outboxes follow which stream, and the fan-out of PARSED records to them.

Theory of operation. A stream is (origin, stream key); `live` and each replay are apart and share nothing. A stream has
one variant per depth level that somebody follows; a record is cut once per variant, whoever follows it. A variant
holds the bound `append` of each member's outbox, so one delivery is one call. Rights are checked when a member joins,
when the hub is told that they changed, and when the market of a stream turns out to be another one; never per record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from subscriptions.gateway.heads import HEAD, LIVE, Identity, cut_depth, image_identity
from subscriptions.gateway.origins import lasting
from subscriptions.gateway.outbox import Outbox, StreamName
from subscriptions.protocol import CHANNELS_OF_IMAGES

STREAMS_MAX = 200_000  # live streams known; past it: records of further streams are counted in `refused` and not kept
IMAGES_PER_STREAM_MAX = 64  # (board, MsgType) pairs; past it: the oldest pair's image goes
FULL = 0  # the level of a variant that is not cut
WILDCARD = "*"

# What is kept for a new subscriber: every image, and of status the last event per (board, MsgType).
_KEPT = frozenset(channel.encode() for channel in CHANNELS_OF_IMAGES | {"status"})


@dataclass(slots=True, eq=False)
class Member:
    """One channel of the layer: outbox and rights, asked as `allows(origin, channel, symbol, market)` → level."""

    name: str
    outbox: Outbox
    allows: Callable[[str, str, str, str | None], int | None]  # None: not entitled; FULL or a level otherwise
    streams: dict[StreamName, int] = field(default_factory=dict)  # joined → level
    named: set[StreamName] = field(default_factory=set)  # joined by name, not through a wildcard
    wildcards: dict[tuple[str, str], int] = field(default_factory=dict)  # (origin, channel) → level wanted


class Variant:
    """The members that follow one stream at one level."""

    __slots__ = ("appends", "members")

    def __init__(self) -> None:
        self.members: dict[str, Outbox] = {}
        self.appends: list[Callable[[bytes], None]] | None = None  # rebuilt at the first record after a change


class Stream:
    __slots__ = ("channel", "epoch", "images", "key", "market", "number", "symbol", "variants")

    def __init__(self, key: bytes, channel: str, symbol: str) -> None:
        self.key, self.channel, self.symbol = key, channel, symbol
        self.number = 0
        self.epoch = b""
        self.market: bytes | None = None
        self.images: dict[Identity, bytes] = {}
        self.variants: dict[int, Variant] = {}


class Hub:
    def __init__(self, *, on_denied: Callable[[str, str, Stream], None] | None = None) -> None:
        self.on_denied = on_denied or (lambda name, origin, stream: None)  # a member lost a stream at fan-out
        self.members: dict[str, Member] = {}
        self.origins: dict[str, dict[bytes, Stream]] = {LIVE: {}}
        self.symbols: set[str] = set()  # seen in live records
        self.records_in = self.bytes_in = self.delivered = 0
        self.unreadable = self.refused = self.unheard = 0
        self._wild: dict[tuple[str, str], dict[str, Member]] = {}

    # Members

    def add_member(self, member: Member) -> None:
        self.members[member.name] = member

    def remove_member(self, name: str) -> None:
        member = self.members.pop(name, None)
        if member is None:
            return
        for origin, channel in list(member.wildcards):
            self._forget_wildcard(member, origin, channel)
        for origin, key in list(member.streams):
            self._detach(member, origin, key)

    def join(self, name: str, origin: str, stream: tuple[bytes, str, str], *, level: int = FULL) -> Stream | None:
        """Follow one stream `(key, channel, symbol)`; None when the member is gone or the bound is met."""
        member = self.members.get(name)
        found = self._stream(origin, *stream) if member is not None else None
        if member is not None and found is not None:
            self._attach(member, origin, found, level)
            member.named.add((origin, found.key))
        return found

    def leave(self, name: str, origin: str, key: bytes) -> None:
        member = self.members.get(name)
        if member is None:
            return
        member.named.discard((origin, key))
        stream = self.origins.get(origin, {}).get(key)
        if stream is not None and (origin, stream.channel) in member.wildcards:
            return
        self._detach(member, origin, key)

    def join_all(self, name: str, origin: str, channel: str, *, level: int = FULL) -> list[Stream]:
        """Follow every stream of a channel that the member may see, those to come included."""
        member = self.members[name]
        member.wildcards[(origin, channel)] = level
        self._wild.setdefault((origin, channel), {})[name] = member
        if origin != LIVE:
            self.origins.setdefault(origin, {})
        joined = []
        for stream in list(self.origins.get(origin, {}).values()):
            if stream.channel == channel and self._admit(member, origin, stream):
                joined.append(stream)
        return joined

    def leave_all(self, name: str, origin: str, channel: str) -> None:
        member = self.members.get(name)
        if member is None:
            return
        self._forget_wildcard(member, origin, channel)
        streams = self.origins.get(origin, {})
        for joined_origin, key in list(member.streams):
            if joined_origin == origin and (origin, key) not in member.named and streams[key].channel == channel:
                self._detach(member, origin, key)
        self._drop_if_unheard(origin)

    def recheck(self, name: str) -> list[tuple[str, Stream]]:
        """Ask the rights of one member again for all it follows; the streams it lost."""
        member = self.members.get(name)
        if member is None:
            return []
        lost = []
        for (origin, key), level in list(member.streams.items()):
            stream = self.origins[origin][key]
            granted = self._allowed(member, origin, stream)
            if granted is None:
                member.named.discard((origin, key))
                self._detach(member, origin, key)
                lost.append((origin, stream))
            elif granted != FULL and (level == FULL or granted < level):
                self._attach(member, origin, stream, granted)
        for origin, channel in member.wildcards:
            for stream in list(self.origins.get(origin, {}).values()):
                if stream.channel == channel and (origin, stream.key) not in member.streams:
                    self._admit(member, origin, stream)
        return lost

    def images(self, origin: str, key: bytes, *, level: int = FULL) -> list[bytes]:
        """The last images of a live or delayed stream, oldest first, at a level."""
        stream = self.origins.get(origin, {}).get(key) if lasting(origin) else None
        if stream is None:
            return []
        return [line if level == FULL else cut_depth(line, level) for line in stream.images.values()]

    def restore(self, member: Member) -> None:
        """Give a member that caught up the last images of the streams whose images it lost."""
        outbox = member.outbox
        for _, key in outbox.lost:  # a delayed record has the bytes of its live one: the outbox cannot tell them apart
            for origin in self.origins:
                level = member.streams.get((origin, key)) if lasting(origin) else None
                if level is not None:
                    outbox.pending.extend(self.images(origin, key, level=level))
        outbox.lost.clear()

    # Fan-out

    def publish(self, body: bytes, origin: str = LIVE) -> int:
        """Hand the records of one PARSED message to everybody who follows them; how many records it held."""
        lines = body.split(b"\n")
        if lines and not lines[-1]:
            lines.pop()
        self.records_in += len(lines)
        self.bytes_in += len(body)
        streams = self.origins.get(origin)
        if streams is None:  # a replay that nobody follows
            self.unheard += len(lines)
            return len(lines)
        kept = lasting(origin)
        for line in lines:
            head = HEAD.match(line)
            if head is None:
                self.unreadable += 1
                continue
            stream = streams.get(head[1]) or self._first_record(origin, streams, head[1], head[2], head[3])
            if stream is None:
                continue
            if head[5] != stream.epoch:
                stream.epoch = head[5]
                stream.images.clear()
            stream.number = int(head[4])
            if head[8] != stream.market:
                self._market_changed(origin, stream, head[8])
            if kept and head[2] in _KEPT:
                self._keep(stream, image_identity(head), line)
            for level, variant in stream.variants.items():
                appends = variant.appends
                if appends is None:
                    appends = variant.appends = [outbox.pending.append for outbox in variant.members.values()]
                self.delivered += len(appends)
                text = line if level == FULL else cut_depth(line, level)
                for append in appends:
                    append(text)
        return len(lines)

    def close_origin(self, origin: str) -> None:
        """Forget a replay that nobody follows any more."""
        self._drop_if_unheard(origin)

    def _keep(self, stream: Stream, identity: Identity, line: bytes) -> None:
        images = stream.images
        images.pop(identity, None)  # the newest is the last, as a subscriber will read them
        if len(images) >= IMAGES_PER_STREAM_MAX:
            del images[next(iter(images))]
        images[identity] = line

    def _first_record(
        self, origin: str, streams: dict[bytes, Stream], key: bytes, channel: bytes, symbol: bytes
    ) -> Stream | None:
        stream = self._stream(origin, key, channel.decode(), symbol.decode())
        if stream is None:
            self.refused += 1
        return stream

    def _stream(self, origin: str, key: bytes, channel: str, symbol: str) -> Stream | None:
        streams = self.origins.setdefault(origin, {})
        stream = streams.get(key)
        if stream is None:
            if len(streams) >= STREAMS_MAX:
                return None
            stream = streams[key] = Stream(key, channel, symbol)
            for member in list(self._wild.get((origin, channel), {}).values()):
                self._admit(member, origin, stream)
        return stream

    def _market_changed(self, origin: str, stream: Stream, market: bytes | None) -> None:
        """The market decides who may see a stream: ask again for its members and for the wildcards."""
        stream.market = market
        if origin == LIVE:
            self.symbols.add(stream.symbol)
        for variant in list(stream.variants.values()):
            for name in list(variant.members):
                member = self.members[name]
                if self._allowed(member, origin, stream) is None:
                    member.named.discard((origin, stream.key))
                    self._detach(member, origin, stream.key)
                    self.on_denied(name, origin, stream)
        for member in list(self._wild.get((origin, stream.channel), {}).values()):
            if (origin, stream.key) not in member.streams:
                self._admit(member, origin, stream)

    def _allowed(self, member: Member, origin: str, stream: Stream) -> int | None:
        market = stream.market.decode() if stream.market else None
        return member.allows(origin, stream.channel, stream.symbol, market)

    def _admit(self, member: Member, origin: str, stream: Stream) -> bool:
        """Let a wildcard member follow a stream if its rights allow; a stream without a known market waits for it."""
        granted = self._allowed(member, origin, stream)
        if granted is None:
            return False
        wanted = member.wildcards[(origin, stream.channel)]
        self._attach(member, origin, stream, _lower(wanted, granted))
        return True

    def _attach(self, member: Member, origin: str, stream: Stream, level: int) -> None:
        before = member.streams.get((origin, stream.key))
        if before == level:
            return
        if before is not None:
            self._detach(member, origin, stream.key)
        variant = stream.variants.setdefault(level, Variant())
        variant.members[member.name] = member.outbox
        variant.appends = None
        member.streams[(origin, stream.key)] = level

    def _detach(self, member: Member, origin: str, key: bytes) -> None:
        level = member.streams.pop((origin, key), None)
        if level is None:
            return
        stream = self.origins[origin][key]
        variant = stream.variants[level]
        del variant.members[member.name]
        variant.appends = None
        if not variant.members:
            del stream.variants[level]
        self._drop_if_unheard(origin)

    def _forget_wildcard(self, member: Member, origin: str, channel: str) -> None:
        member.wildcards.pop((origin, channel), None)
        members = self._wild.get((origin, channel), {})
        members.pop(member.name, None)
        if not members:
            self._wild.pop((origin, channel), None)

    def _drop_if_unheard(self, origin: str) -> None:
        """Replay streams live as long as somebody follows them."""
        if lasting(origin) or origin not in self.origins or any(place == origin for place, _ in self._wild):
            return
        if not any(stream.variants for stream in self.origins[origin].values()):
            del self.origins[origin]


def _lower(wanted: int, granted: int) -> int:
    """The level of a stream: FULL (0) is above every other."""
    return min((level for level in (wanted, granted) if level != FULL), default=FULL)
