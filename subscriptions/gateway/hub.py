"""The hub: the fan-out of PARSED records to everybody who follows them (who that is: `membership.py`).

Theory of operation. A stream is (origin, stream key); `live`, each delay and each replay are apart and share nothing. A
stream has one variant for each view of it that somebody follows (`variants.py`); a record is made once per variant,
whoever follows it. A variant holds the list of each member's outbox, so one delivery is one append to it. Rights are
checked when a member joins, when the hub is told that they changed, and when the market of a stream turns out to be
another one; never per record. A member that is behind (`catch_up.py`) is in no variant until it has caught up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from subscriptions.gateway.catch_up import CatchUp
from subscriptions.gateway.following import LIVE_NOW, Began, Denied, Follow, Gap, Member, stream_name
from subscriptions.gateway.heads import HEAD, LIVE, epoch_order, image_identity
from subscriptions.gateway.history import ENTRY_BYTES, Histories, History
from subscriptions.gateway.membership import Membership
from subscriptions.gateway.origins import lasting
from subscriptions.gateway.stream import Stream
from subscriptions.gateway.variants import variant_of
from subscriptions.gateway.views import SOURCE_CHANNEL, View
from subscriptions.protocol import CHANNELS_OF_IMAGES

CLOSE_BARS_MAX = 200  # streams in one tick: about 4 ms; the others' bars close with the next ones
# What is kept for a new subscriber: every image, and of status the last event per (board, MsgType).
_KEPT = frozenset(channel.encode() for channel in CHANNELS_OF_IMAGES | {"status"})


class Hub(Membership):
    def __init__(self, *, histories: Histories | None = None) -> None:
        super().__init__()
        self.histories = histories or Histories()
        self.catch_up = CatchUp(self)
        self.records_in = self.bytes_in = self.messages = 0
        self.unreadable = self.unheard = self.repeated = 0
        self.on_renumbered: Callable[[Member], None] = lambda member: None  # a stream that it follows begins again
        self.bars_over: dict[Stream, None] = {}  # the exchange's minute has changed for them

    def publish(self, body: bytes, origin: str = LIVE) -> int:
        """Hand the records of one PARSED message to everybody who follows them; how many records it held."""
        lines = self._lines(body)
        streams = self.origins.get(origin)
        if streams is None:  # a replay that nobody follows
            self.unheard += len(lines)
            return len(lines)
        self.messages += 1
        age, kept_bytes, head = self.messages, 0, None
        length_max, records_max = self.histories.length_max, self.histories.records_max
        for line in lines:
            head = HEAD.match(line)
            if head is None:
                self.unreadable += 1
                continue
            stream = streams.get(head[1]) or self._first_record(origin, streams, head[2], head[3])
            if stream is None:
                continue
            number = int(head[4])
            if head[5] != stream.epoch:
                self._begin_epoch(origin, stream, head[5])
            elif number <= stream.number and stream.ordered and not self._begins_again(origin, stream):
                self.repeated += 1
                continue
            if head[8] != stream.market:
                self._market_changed(origin, stream, head[8])
            if stream.late is not None:
                self.catch_up.settle_late(stream, number)
            stream.number = number
            identity = None
            if head[2] in _KEPT:
                identity = image_identity(head)
                stream.keep(identity, line)
            if (history := stream.history) is not None:
                history.append((number, line, identity, age))
                kept_bytes += len(line) + ENTRY_BYTES
                if len(history) >= length_max:
                    kept_bytes -= history.cut(len(history) - records_max)
            fanout = stream.fanout
            if fanout is None:
                fanout = stream.served()
            for variant in fanout:
                if variant.plain:
                    if not variant.fresh:
                        variant.fresh = True
                        self.fresh.append(variant)
                    queues = variant.queues
                    if queues is None:
                        queues = variant.queues = [outbox.pending for outbox in variant.members.values()]
                    self.delivered += len(queues)
                    for queue in queues:
                        queue.append(line)
                else:
                    self.delivered += variant.push(head, line)
        if head is not None:
            self._note_time(origin, streams, head=head, line=line)
        self.histories.bytes += kept_bytes
        if self.histories.bytes > self.histories.bytes_max:
            self.histories.keep_within(self._histories, age=age)
        return len(lines)

    def _lines(self, body: bytes) -> list[bytes]:
        lines = body.split(b"\n")
        if lines and not lines[-1]:
            lines.pop()
        self.records_in += len(lines)
        self.bytes_in += len(body)
        return lines

    def flush_bucket(self, bucket_ms: int) -> None:
        """Deliver what waits in the variants of a conflation bucket."""
        for variant in self.waiting.pop(bucket_ms, ()):
            self.delivered += variant.flush()

    def close_bars(self, most: int = CLOSE_BARS_MAX) -> None:
        """Close bars whose minute is over, of at most so many streams at a time."""
        while self.bars_over and most > 0:
            stream = next(iter(self.bars_over))
            del self.bars_over[stream]
            most -= 1
            for variant in list(stream.variants.values()):
                self.delivered += variant.close_bars(stream.minute)

    def expect_restart(self, origin: str) -> None:
        """A parser began a numbering from nothing: lower numbers of this epoch are no repetitions, late ones too."""
        for name, streams in self.origins.items():
            if name == origin or (origin == LIVE and lasting(name)):
                for stream in streams.values():
                    stream.restarted = True

    def keep_image(self, line: bytes) -> bool:
        """Warm up: take a last image from elsewhere, unless what is known of its stream is as new. No delivery."""
        head = HEAD.match(line)
        stream = self._first_record(LIVE, self.origins[LIVE], head[2], head[3]) if head is not None else None
        if head is None or stream is None or head[2] not in _KEPT or stream.history:
            return False
        if stream.epoch not in (b"", head[5]):
            if epoch_order(stream.epoch) > epoch_order(head[5]):
                return False
            self._forget(stream)
        stream.epoch, stream.market = head[5], head[8]
        stream.number = max(stream.number, int(head[4]))
        stream.keep(image_identity(head), line)
        self.symbols.add(stream.symbol)
        return True

    def images(self, origin: str, key: bytes) -> list[bytes]:
        """The last images of a stream by its key, oldest first; of a view too, whether somebody follows it or not."""
        _, _, _, channel, _, _, _, symbol, _ = key.decode().split('"', 8)
        stream = self.origins.get(origin, {}).get(View(SOURCE_CHANNEL.get(channel, channel)).key(symbol))
        if stream is None:
            return []
        stream.minute = self.bar_clock.minute(origin, stream.market)
        return variant_of(View(channel), stream, on_waiting=lambda variant: None).images(stream)

    def restore(self, member: Member, *, now_ns: int) -> None:
        """Give a member whose socket took everything the images it lost, and the next of what it missed."""
        outbox = member.outbox
        for name in outbox.lost:
            follow = member.follows.get(name)
            if follow is not None and follow.state == LIVE_NOW:
                outbox.put(self.snapshot(follow))
        outbox.lost.clear()
        if member.behind:
            self.catch_up.pull(member, now_ns=now_ns)

    # Channels that do not come from PARSED

    def break_off(self, channel: str, origin: str) -> None:
        """What comes next of a channel follows on nothing: its followers are told, and what is kept of it goes."""
        for stream in self.origins.get(origin, {}).values():
            if stream.channel != channel or not stream.epoch:
                continue
            for member, follow in self.followers(origin, stream):
                member.heard(Gap(follow, stream.number + 1, None, "epoch"))
            self._forget(stream)
            stream.epoch = b""

    def drop_unheard(self, channel: str) -> None:
        """Forget the streams of a channel that nobody follows."""
        for streams in self.origins.values():
            for key, stream in list(streams.items()):
                if stream.channel == channel and not (stream.variants or stream.late):
                    self._forget(stream)
                    del streams[key]

    def forget_to(self, key: bytes, epoch: bytes, number: int) -> None:
        """The history of a live stream up to a number."""
        stream = self.origins[LIVE].get(key)
        if stream is not None and stream.history and stream.epoch == epoch:
            self.histories.bytes -= stream.history.cut_to(number)

    # Parts of fan-out

    def _note_time(self, origin: str, streams: dict[bytes, Stream], *, head: re.Match[bytes], line: bytes) -> None:
        """The last record of a message tells its market's time; when a minute is over, its bars are."""
        minute = self.bar_clock.note(origin, head, line)
        if minute is None:
            return
        for stream in streams.values():
            if stream.channel == "trade" and stream.market == head[8] and stream.variants:
                stream.minute = minute
                self.bars_over[stream] = None

    def _first_record(self, origin: str, streams: dict[bytes, Stream], channel: bytes, symbol: bytes) -> Stream | None:
        stream = self.stream(origin, channel.decode(), symbol.decode())
        if stream is None:
            self.refused += 1
        return stream

    def _begins_again(self, origin: str, stream: Stream) -> bool:
        """Whether a number that was there before is the first of a new numbering (a parser that lost its state): what
        its followers hold is then of no use to them, and their numbers mean nothing here."""
        begins, stream.restarted = stream.restarted, False
        if begins:
            self._forget(stream)
            stream.renumbered = lasting(origin)
            if stream.renumbered:
                found = self.followers(origin, stream, behind=True)
                for member in {member.name: member for member, _ in found}.values():
                    self.on_renumbered(member)
        return begins

    def _begin_epoch(self, origin: str, stream: Stream, epoch: bytes) -> None:
        """A new numbering: what was kept of the old one is of no use to anybody."""
        first = not stream.epoch
        self._forget(stream)
        stream.epoch = epoch
        if first:
            for member, follow in self.followers(origin, stream):
                member.heard(Began(follow))

    def _forget(self, stream: Stream) -> None:
        for variant in stream.variants.values():
            self.delivered += variant.renew()
        stream.number = 0
        stream.images.clear()
        if stream.history is not None:
            self.histories.bytes -= stream.history.forget()

    def _market_changed(self, origin: str, stream: Stream, market: bytes | None) -> None:
        """The market decides who may see a stream: ask again for its members and for the wildcards."""
        first, stream.market = stream.market is None, market
        if origin == LIVE:
            self.symbols.add(stream.symbol)
        for member, follow in self.followers(origin, stream, behind=not first):
            if member.allows(origin, follow.view.channel, stream) is None:
                self.detach(member, follow, keep_origin=True)
                member.heard(Denied(follow))
        for member in list(self._wild.get((origin, stream.channel), {}).values()):
            self._admit_wilds(member, origin, stream)

    def followers(self, origin: str, stream: Stream, *, behind: bool = False) -> list[tuple[Member, Follow]]:
        """Everybody who is in a variant of the stream or waits for it; with `behind` also who catches up with it."""
        found = []
        for view, variant in stream.variants.items():
            name = stream_name(origin, view.key(stream.symbol))
            found += [(member, member.follows[name]) for member in map(self.members.__getitem__, variant.members)]
        found += [(self.members[name], follow) for (name, _), follow in (stream.late or {}).items()]
        if behind:
            for member in self.members.values():
                found += [(member, follow) for follow in member.behind.values() if follow.stream is stream]
        return found

    def _histories(self) -> Iterator[History]:
        for streams in self.origins.values():
            for stream in streams.values():
                if stream.history:
                    yield stream.history
