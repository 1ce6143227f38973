"""One client's bounded outbox: records in, frames out, and the ladder of a slow consumer.

The hubs append lines straight to `pending` (the list itself is what a stream's fan-out holds: a quarter cheaper than
its bound `append`), so delivering costs one list append; everything else is `put`, which makes the layer look at it in
the next tick. Bytes are counted when the outbox is looked at: by `take` when the client can be written to, by `settle`
when it cannot. Between two looks at most about `layer.FLUSH_BYTES_MAX` arrive.

The ladder (marks of the bound, `bytes_max`):
  50 %   SLOW_START; of each image identity only the newest stays, a book's deltas go and a snapshot will follow
  75 %   events go, each stream with its exact range (SKIPPED)
  100 %  of bytes queued and shed since it became slow: the clock starts; if that much is still queued, images go too
         and are sent again from the last images once the client has caught up
  10 s after the clock started without having caught up (at most 25 % queued): close 4001
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from subscriptions.gateway import replies
from subscriptions.gateway.batches import Batches
from subscriptions.gateway.encodings import Frames, JsonFrames, line_of
from subscriptions.gateway.heads import HEAD, LIVE, Identity, image_identity
from subscriptions.protocol import CHANNELS_OF_IMAGES

FRAME_BYTES_MAX = 262_144  # one flush; what does not fit waits for the next
SHARED_RECORDS_MAX = 2_048  # of a frame that others may share; past it: `take`
PLAIN_RECORDS_MAX = 256  # so few records need no measuring before they are one frame
OVER_NS_MAX = 10_000_000_000  # past the bound for longer: close 4001
CONTROLS_BYTES_MAX = 262_144  # replies to a client that asks but never reads; past it: close 4001
_IMAGES = frozenset(channel.encode() for channel in CHANNELS_OF_IMAGES | {"bar"})
# What happens to the queued records of a slow client, by the policy of their stream.
CONFLATE, SKIP, DISCONNECT, BOOK = "conflate", "skip", "disconnect", "book"

StreamName = tuple[str, bytes]  # (origin, stream key)


class ControlFrame(bytes):
    """A control message in the queue: a frame of its own, never conflated or skipped."""


@dataclass(slots=True)
class SkippedRange:
    symbol: str
    first: int
    last: int


def _sid_unknown(origin: str, key: bytes) -> int | None:
    return None


def _nobody_restores(name: StreamName) -> None:
    """An outbox outside of a hub."""


@dataclass(slots=True)
class Sums:
    """What all outboxes of a gateway counted, the ended ones included: nobody has to walk over them for it."""

    delivered: int = 0
    conflated: int = 0
    skipped: int = 0
    discarded: int = 0  # queued when the session, or the right to it, ended
    sent_bytes: int = 0


class Outbox:
    def __init__(
        self, bytes_max: int, *, name: str = "", sid_of: Callable[[str, bytes], int | None] = _sid_unknown
    ) -> None:
        self.name = name  # of its session
        self.bytes_max = bytes_max  # past it: the last rung of the ladder above
        self.sid_of = sid_of
        self.pending: list[bytes] = []  # never replaced: the hubs hold it
        self.ready: dict[str, Outbox] = {}  # the layer's: who is looked at in the next tick
        self.queued_bytes = 0
        self.slow = False
        self.frames: Frames = JsonFrames
        self.policies: dict[StreamName, str] = {}  # streams that are not treated in their channel's natural way
        self.on_lost: Callable[[StreamName], None] = _nobody_restores  # a book's deltas were dropped
        self.lost: set[StreamName] = set()  # live streams whose last image was dropped
        self.broken = False  # a strict stream met the bound, or replies did: only a close remains
        self.delivered = self.conflated = self.skipped = self.discarded = self.sent_bytes = 0
        self.sums = Sums()  # the layer's, once it has a seat
        self.last_take_ns = self.sent_ns = 0  # when it was asked last; when that gave a frame
        self._measured = 0  # how many of `pending` are in `queued_bytes`
        self._controls = 0
        self._controls_bytes = 0
        self._compacted_bytes = 0
        self._shed_bytes = 0  # conflated, skipped or lost since the client became slow
        self._over_since_ns = 0
        self._takes_when_slow = 0
        self._takes = 0
        self._starts: list[bytes] = []  # SLOW_START, one per subscription; goes before what is still queued
        self._skips: dict[StreamName, SkippedRange] = {}

    def let_go(self) -> None:
        """Its session has ended: nobody is asked any more. Sessions, members and outboxes know each other, and what
        forms no ring is freed at once: the collector looks at the old rarely."""
        self.sid_of, self.on_lost = _sid_unknown, _nobody_restores

    def wake(self) -> None:
        """Be looked at in the next tick."""
        self.ready[self.name] = self

    def put(self, records: Iterable[bytes]) -> None:
        """Records that do not come through a variant: last images, what a resume missed."""
        self.pending.extend(records)
        self.ready[self.name] = self

    def put_control(self, frame: bytes) -> None:
        frame = self.frames.control(frame)
        self._controls += 1
        self._controls_bytes += len(frame)
        self.pending.append(ControlFrame(frame))
        self.ready[self.name] = self
        if self._controls_bytes > CONTROLS_BYTES_MAX:
            self.broken = True

    def measure(self) -> int:
        """Bytes queued, after counting what the hubs appended since the last look."""
        count = len(self.pending)
        if count != self._measured:
            fresh = self.pending[self._measured :] if self._measured else self.pending
            self.queued_bytes += sum(map(len, fresh)) + len(fresh)
            self._measured = count
        return self.queued_bytes

    def waiting_records(self) -> int:
        return len(self.pending) - self._controls

    def discard(self) -> None:
        """Drop the records that wait (the right to them has ended); control frames stay."""
        kept: list[bytes] = [item for item in self.pending if type(item) is ControlFrame]
        gone = len(self.pending) - len(kept)
        self.discarded += gone
        self.sums.discarded += gone
        self._starts.clear()
        self._skips.clear()
        self.lost.clear()
        self._replace(kept)

    def take(self, now_ns: int) -> list[bytes]:
        """The next frames to write, at most about FRAME_BYTES_MAX together; empty when nothing waits."""
        pending = self.pending
        self.last_take_ns = now_ns
        self._takes += 1
        count = len(pending)
        if 0 < count <= PLAIN_RECORDS_MAX and not (self._controls or self._measured or self.slow or self._skips):
            frame = self.frames.records(pending)
            pending.clear()
            self._sent(now_ns, count, len(frame))
            return [frame]
        if not (count or self._skips or self.slow):
            return []
        if self.measure() <= FRAME_BYTES_MAX:
            items = pending[:]
            pending.clear()
            self.queued_bytes = self._measured = 0
        else:
            items = self._head()
        frames, self._starts = self._starts, []
        records = len(items)
        if self._skips:
            frames += self._skip_notices()
        if self._controls:
            records -= self._frames_around_controls(items, frames)
        elif items:
            frames.append(self.frames.records(items))
        self._sent(now_ns, records, sum(map(len, frames)))
        if self.slow:
            self._end_slow(frames)
        return frames

    def take_framed(self, batches: Batches, now_ns: int) -> bytes | None:
        """Everything that waits as one frame with its header, made once for all who have the same; else `take` it."""
        pending = self.pending
        count = len(pending)
        if not count or count > SHARED_RECORDS_MAX or self._controls or self._measured or self.slow or self._skips:
            return None
        frame = batches.frame(pending, self.frames)
        if count > PLAIN_RECORDS_MAX and len(frame) > FRAME_BYTES_MAX:
            return None
        pending.clear()
        self.last_take_ns = now_ns
        self._takes += 1
        self._sent(now_ns, count, len(frame))
        return frame

    def _sent(self, now_ns: int, records: int, size: int) -> None:
        self.sent_ns = now_ns
        self.delivered += records
        self.sent_bytes += size
        sums = self.sums
        sums.delivered += records
        sums.sent_bytes += size

    def settle(self, now_ns: int) -> bool:
        """Keep the bound while the client cannot be written to; True when it has to be cut (4001)."""
        if self.broken:
            return True
        queued = self.measure()
        if not self.slow:
            if queued < self.bytes_max // 2:
                return False
            self._start_slow(now_ns)
        elif queued - self._compacted_bytes > self.bytes_max // 16:
            self._compact()
        if self.queued_bytes >= self.bytes_max * 3 // 4:
            self._drop(images=False)
        if self.queued_bytes >= self.bytes_max:
            self._drop(images=True)
        if self.queued_bytes + self._shed_bytes >= self.bytes_max:
            self._over_since_ns = self._over_since_ns or now_ns
        return self.broken or bool(self._over_since_ns and now_ns - self._over_since_ns >= OVER_NS_MAX)

    def _head(self) -> list[bytes]:
        """The oldest items, FRAME_BYTES_MAX of them; at least one."""
        size = count = 0
        for item in self.pending:
            if count and size + len(item) > FRAME_BYTES_MAX:
                break
            size += len(item) + 1
            count += 1
        items = self.pending[:count]
        del self.pending[:count]
        self.queued_bytes -= size
        self._measured -= count
        self._compacted_bytes = min(self._compacted_bytes, self.queued_bytes)
        return items

    def _frames_around_controls(self, items: list[bytes], frames: list[bytes]) -> int:
        """Put the frames of items, control messages among them, behind `frames`; how many those are."""
        records: list[bytes] = []
        controls = 0
        for item in items:
            if type(item) is not ControlFrame:
                records.append(item)
                continue
            if records:
                frames.append(self.frames.records(records))
                records = []
            frames.append(bytes(item))
            controls += 1
            self._controls -= 1
            self._controls_bytes -= len(item)
        if records:
            frames.append(self.frames.records(records))
        return controls

    def _skip_notices(self) -> list[bytes]:
        frames = [
            self._notice(
                "SKIPPED", sid=self.sid_of(origin, key), s=skip.symbol, **{"from": skip.first, "to": skip.last}
            )
            for (origin, key), skip in self._skips.items()
        ]
        self._skips.clear()
        return frames

    def _notice(self, code: str, **members: object) -> bytes:
        return self.frames.control(replies.notice(code, **members))

    def _start_slow(self, now_ns: int) -> None:
        self.slow = True
        self._takes_when_slow = self._takes
        queued, lag_ms = self.queued_bytes, (now_ns - self.last_take_ns) // 1_000_000 if self.last_take_ns else 0
        for sid, policy in self._compact().items():
            action = CONFLATE if policy == BOOK else policy
            self._starts.append(self._notice("SLOW_START", sid=sid, queued=queued, lag_ms=lag_ms, action=action))

    def _end_slow(self, frames: list[bytes]) -> None:
        """Caught up: the client took frames since it became slow (the socket drained), and little is left."""
        if self._takes == self._takes_when_slow or self.queued_bytes > self.bytes_max // 4:
            return
        self.slow = False
        self._over_since_ns = self._compacted_bytes = self._shed_bytes = 0
        frames.append(self._notice("SLOW_END", queued=self.queued_bytes))

    def _policy(self, name: StreamName, channel: bytes) -> str:
        policy = self.policies.get(name)
        if policy is not None:
            return policy
        if channel == b"book":
            return BOOK
        return CONFLATE if channel in _IMAGES and name[0] == LIVE else SKIP

    def _compact(self) -> dict[int | None, str]:
        """Keep the newest of each image identity, nothing of books; the subscriptions that have records queued."""
        seen: set[tuple[bytes, Identity]] = set()
        sids: dict[int | None, str] = {}
        books: dict[StreamName, None] = {}
        conflated = 0
        kept: list[bytes] = []
        for item in reversed(self.pending):
            head = _head(item)
            if head is not None:
                name = _name(head)
                policy = self._policy(name, head[2])
                sids.setdefault(self.sid_of(*name), policy)
                if policy == BOOK:
                    books[name] = None
                    conflated += 1
                    continue
                if policy == CONFLATE:
                    identity = (head[1], _identity(head, item))
                    if identity in seen:
                        conflated += 1
                        continue
                    seen.add(identity)
            kept.append(item)
        kept.reverse()
        self._count_conflated(conflated)
        self._replace(kept)
        for name in books:
            self.on_lost(name)
        return dict(reversed(sids.items()))

    def _drop(self, *, images: bool) -> None:
        """Skip every queued event; with `images` the live images too (they come again when the client is back)."""
        kept: list[bytes] = []
        for item in self.pending:
            head = _head(item)
            if head is None:
                kept.append(item)
                continue
            name = _name(head)
            policy = self._policy(name, head[2])
            if policy == DISCONNECT:
                self.broken = self.broken or images
                kept.append(item)
            elif policy == SKIP:
                self._skip(name, head[3].decode(), int(head[4]))
            elif images:
                self._count_conflated(1)
                self.lost.add(name)
            else:
                kept.append(item)
        self._replace(kept)

    def _count_conflated(self, records: int) -> None:
        self.conflated += records
        self.sums.conflated += records

    def _skip(self, name: StreamName, symbol: str, number: int) -> None:
        self.skipped += 1
        self.sums.skipped += 1
        skip = self._skips.get(name)
        if skip is None:
            self._skips[name] = SkippedRange(symbol, number, number)
        else:
            skip.last = number

    def _replace(self, kept: list[bytes]) -> None:
        before = self.measure()
        self.pending[:] = kept
        self._measured = self.queued_bytes = 0
        self._compacted_bytes = self.measure()
        self._shed_bytes += before - self._compacted_bytes


def _head(item: bytes) -> re.Match[bytes] | None:
    return None if type(item) is ControlFrame else HEAD.match(line_of(item))


def _name(head: re.Match[bytes]) -> StreamName:
    return (head[6].decode() if head[6] else LIVE), head[1]


def _identity(head: re.Match[bytes], item: bytes) -> Identity:
    """A closed bar is an event: nothing replaces it."""
    if head[2] == b"bar" and b'"closed":true' in line_of(item):
        return head[9], head[4]
    return image_identity(head)
