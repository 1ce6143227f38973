"""The members that follow one stream in one view, and the records they are given, each made once for all of them.

The plain variant gives the parser's bytes: the hub appends them itself. A derived one is handed each record of the
stream by `push`. In a conflation bucket the newest record of each identity waits for `flush`; whoever joins makes the
bucket flush first, so that everybody who follows a variant has come as far as its stream.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from operator import itemgetter

from subscriptions.gateway.bar_maker import BarMaker
from subscriptions.gateway.heads import Identity, image_identity
from subscriptions.gateway.history import Entry, History
from subscriptions.gateway.makers import maker_of
from subscriptions.gateway.outbox import Outbox
from subscriptions.gateway.stream import Stream
from subscriptions.gateway.views import View, with_members

REMADE_MAX = 8_192  # records of a derived view kept for further resumes; past it the older half goes
_number = itemgetter(0)


def _nobody_looks(variant: Variant) -> None:
    """A variant outside of a hub."""


class Variant:
    plain = True

    def __init__(self, view: View) -> None:
        self.view = view
        self.members: dict[str, Outbox] = {}
        self.fresh = False  # delivered since the last tick: its members are looked at then
        self.on_fresh: Callable[[Variant], None] = _nobody_looks
        self.queues: list[list[bytes]] | None = None  # of the members; rebuilt at the first record after a change

    def join(self, name: str, outbox: Outbox) -> None:
        self.members[name] = outbox
        self.queues = None

    def leave(self, name: str) -> None:
        outbox = self.members.pop(name, None)
        if outbox is not None and self.fresh:
            outbox.wake()  # what it was given; the next tick would not find it here
        self.queues = None

    def deliver(self, record: bytes) -> int:
        """Hand a finished record to every member; how many they are."""
        queues = self.queues
        if queues is None:
            queues = self.queues = [outbox.pending for outbox in self.members.values()]
        for queue in queues:
            queue.append(record)
        if not self.fresh:
            self.fresh = True
            self.on_fresh(self)
        return len(queues)

    def push(self, head: re.Match[bytes], line: bytes) -> int:
        """A record of the stream; how many deliveries it made."""
        return self.deliver(line)

    def flush(self) -> int:
        """Deliver what waits in the bucket."""
        return 0

    def close_bars(self, minute: bytes) -> int:
        """The exchange is in this minute; only bars heed it."""
        return 0

    def renew(self) -> int:
        """A new epoch begins: what waits belongs to the old one."""
        return 0

    def images(self, stream: Stream) -> list[bytes]:
        """What a subscriber starts with."""
        return list(stream.images.values())

    def records_after(self, stream: Stream, number: int, *, count: int) -> list[tuple[int, bytes]] | None:
        """The next `count` records behind `number`, or None when the history does not reach back to it."""
        entries = stream.history.after(number) if stream.history is not None else None
        return None if entries is None else [(entry[0], entry[1]) for entry in entries[:count]]


class DerivedVariant(Variant):
    plain = False

    def __init__(self, view: View, stream: Stream, *, on_waiting: Callable[[DerivedVariant], None]) -> None:
        super().__init__(view)
        self._maker = maker_of(view, stream.images, stream.history, minute=stream.minute)
        self._merges = bool(view.conflate_ms) and self._maker.merges
        self._boards = frozenset(board.encode() for board in view.boards)
        self._counter = b"cn" if view.channel in ("stats", "bar") else b"c"  # those have a `c` of their own: the price
        self._before = stream.number * 2 if view.channel == "bar" else stream.number
        if self._boards:  # others' numbers are none that its members know
            self._before = _newest(stream, self._boards) * (2 if view.channel == "bar" else 1)
        if isinstance(self._maker, BarMaker):
            self._before = max(self._before, self._maker.newest)
        self._on_waiting = on_waiting
        self._waiting: dict[Identity, tuple[int, bytes, int]] = {}  # (n, line, updates): a source's, or a made record
        self._remade: list[tuple[int, bytes]] | None = None  # complete behind `_remade_from`, while resumes need it
        self._remade_from = 0

    def push(self, head: re.Match[bytes], line: bytes) -> int:
        if self._boards and head[9] not in self._boards:
            if isinstance(self._maker, BarMaker):
                self._maker.look(int(head[4]), line)
            return 0
        number, identity = int(head[4]), image_identity(head)
        if self._merges:
            self._wait(identity, number, line)
            return 0
        delivered = 0
        for made, record, replaceable in self._maker.make(number, line, identity):
            if replaceable and self.view.conflate_ms:
                self._wait(identity, made, record)
            elif replaceable:
                delivered += self._send(made, record, 1)
            else:
                delivered += self._send_last(made, record)
        return delivered

    def close_bars(self, minute: bytes) -> int:
        made = self._maker.close_until(minute) if isinstance(self._maker, BarMaker) else []
        return sum(self._send_last(number, record) for number, record, _ in made)

    def flush(self) -> int:
        if not self._waiting:
            return 0
        waiting, self._waiting = self._waiting, {}
        delivered = 0
        for identity, (number, line, updates) in waiting.items():
            made = self._maker.make(number, line, identity) if self._merges else [(number, line, True)]
            for at, record, _ in made:
                delivered += self._send(at, record, updates)
        return delivered

    def renew(self) -> int:
        delivered = self.flush()
        self._maker.renew()
        self._before, self._remade = 0, None
        return delivered

    def images(self, stream: Stream) -> list[bytes]:
        images = stream.images
        if self._boards:
            images = {identity: line for identity, line in images.items() if identity[0] in self._boards}
        return [self.view.finish(record) for record in self._maker.images(stream.number, images)]

    def records_after(self, stream: Stream, number: int, *, count: int) -> list[tuple[int, bytes]] | None:
        entries = stream.history.after(self._source_number(number)) if stream.history is not None else None
        if entries is None:
            return None
        if self._merges or self.view.conflate_ms:
            return self._remake(stream, number, entries)  # one bucket, short
        if self._remade is None or number < self._remade_from:
            self._remade, self._remade_from = self._remake(stream, number, entries), number
        at = bisect_right(self._remade, number, key=_number)
        return self._remade[at : at + count]

    @property
    def newest(self) -> int:
        """The number of the last record that was sent."""
        return self._before

    def forget_remade(self) -> None:
        """No resume asked for a while."""
        self._remade = None

    def _source_number(self, number: int) -> int:
        """The last number of the source of which everything is in the view's records up to `number`."""
        return number // 2 if self.view.channel == "bar" else number

    def _remake(self, stream: Stream, number: int, entries: list[Entry]) -> list[tuple[int, bytes]]:
        """The view's records behind `number`, made again from the history."""
        then = Stream(stream.key, stream.channel, stream.symbol)
        assert stream.history is not None, "entries come from it"
        then.number = self._source_number(number)
        then.images = stream.history.state_at(then.number)
        then.history = History()
        then.history.extend(entry for entry in stream.history if entry[0] <= then.number)
        again = DerivedVariant(self.view, then, on_waiting=lambda variant: None)
        again._before, again._remade = number, []
        for _, line, _, _ in entries:
            again.push(stream.head(line), line)
        again.close_bars(stream.minute)
        again.flush()
        return [made for made in again._remade if made[0] > number]

    def _wait(self, identity: Identity, number: int, line: bytes) -> None:
        before = self._waiting.pop(identity, None)  # the newest is the last, so that numbers rise
        if not self._waiting and before is None:
            self._on_waiting(self)
        self._waiting[identity] = (number, line, 1 if before is None else before[2] + 1)

    def _send_last(self, number: int, record: bytes) -> int:
        """A record that nothing replaces: the last word on what waits of its board, and behind what waits of others."""
        if not self._waiting:
            return self._send(number, record, 1)
        board = Stream.head(record)[9]
        self._waiting = {identity: one for identity, one in self._waiting.items() if identity[0] != board}
        return self.flush() + self._send(number, record, 1)

    def _send(self, number: int, record: bytes, updates: int) -> int:
        if self.view.conflate_ms:
            record = with_members(record, b',"%b":%d' % (self._counter, updates))
        if self.view.sparse:
            record = with_members(record, b',"pn":%d' % self._before)
        self._before = number
        finished = self.view.finish(record)
        if self._remade is not None:
            self._remade.append((number, finished))
            if len(self._remade) > 2 * REMADE_MAX:
                self._remade_from = self._remade[REMADE_MAX - 1][0]
                del self._remade[:REMADE_MAX]
        return self.deliver(finished)


def _newest(stream: Stream, boards: frozenset[bytes]) -> int:
    """The number of the last record of some boards, as far as it is known; 0 when it is not."""
    kept = [*stream.images.values(), *(entry[1] for entry in stream.history or ())]
    heads = (stream.head(line) for line in kept)
    return max((int(head[4]) for head in heads if head[9] in boards), default=0)


class FlushFirst(Variant):
    """No members: a trade flushes the pending quotes of its symbol before it is delivered itself."""

    plain = False

    def __init__(self, depth: Stream) -> None:
        super().__init__(View("trade"))
        self._depth = depth

    def push(self, head: re.Match[bytes], line: bytes) -> int:
        variants = self._depth.variants
        return sum(variant.flush() for view, variant in variants.items() if view.channel == "quote")


def variant_of(view: View, stream: Stream, *, on_waiting: Callable[[DerivedVariant], None]) -> Variant:
    return Variant(view) if view.plain else DerivedVariant(view, stream, on_waiting=on_waiting)
