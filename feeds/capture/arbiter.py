"""Arbitrates lines A and B: the first copy of a message wins, in sequence, gaps declared.

Theory: a copy whose bytes were seen a moment ago is a duplicate; one set look-up says so, whichever line it came on.
What is left is framed, its stream's sequencer says whether it is next, early or old, and what is next goes to `emit`.
Time is the receive time of the datagrams; `tick` brings the clock in when nothing arrives.
A snapshot (W) has a stream of its own, and keeps its place among its instrument's messages: one that waits for lower
numbers goes out before what came behind it, wait or no wait, and not before what came ahead of it or fills a hole
there. Out of its place, the older image would be in the place of the newer one; one that comes too late for its place
is told to be (`overtaken.py`).
"""

from __future__ import annotations

from collections.abc import Callable

from feeds.blocks import FLAG_MESSAGE, FLAG_UNFRAMED, Block, Entry
from feeds.capture.line_counts import LineCounts
from feeds.capture.overtaken import is_overtaken
from feeds.capture.sequencer import Gap, Held, Sequencer
from feeds.config import FeedConfig
from feeds.fix.framing import HEAD, is_whole, split
from feeds.krx.streams import HEARTBEAT, SHARED_STREAM, SNAPSHOT, UNCHECKED, stream_of

RECENT_MAX = 8_192  # datagrams per generation, two are kept; past it the older generation is forgotten
RESET_DISTANCE = 1_000  # a number this far below the expected one, sent later, is a reset
RESET_IDLE_NS = 5_000_000_000  # `34=1` after this silence is a restarted source
PAUSE_NS = 500_000_000  # a silence of the feed in which its source may have been started anew
TOGETHER_NS = 60_000_000_000  # what began so long before a reset is of the old numbers, whatever paused

SNAPSHOTS = SNAPSHOT.decode()  # the name of their streams

Emit = Callable[[Entry, int, bytes], None]  # entry, capture_seq, key (empty when there is one partition)
LateStart = Callable[[Sequencer, int], None]  # a stream, the receive time of its first message
Overtaken = Callable[[Sequencer, int, Held], None]  # a stream of snapshots, and what goes out with which number


class Arbiter:
    """One feed's arbitration. `emit` receives released messages, `on_gap` declared gaps, `on_reset` a new epoch
    (receive time of its first message), `on_late_start` streams that begin above 1, each before its first message,
    `on_overtaken` snapshots that are older than what has gone out of their instrument, each before it goes out."""

    def __init__(
        self,
        feed: FeedConfig,
        emit: Emit,
        *,
        on_gap: Callable[[Gap], None],
        on_reset: Callable[[int], None],
        on_late_start: LateStart,
        on_overtaken: Overtaken,
    ) -> None:
        self.feed = feed
        self.emit = emit
        self.on_gap = on_gap
        self.on_reset = on_reset
        self.on_late_start = on_late_start
        self.on_overtaken = on_overtaken
        self.lines = (LineCounts(), LineCounts())
        self.streams: dict[tuple[bytes, bytes], Sequencer] = {}
        self.by_name: dict[tuple[str, str], Sequencer] = {}
        self.unique = 0
        self.gaps = 0
        self.missing = 0
        self.resets = 0
        self.heard_ns = 0  # the last datagram of either line
        self.busy_since_ns = 0  # when the feed was heard again after its last pause
        self._keyed = feed.partitions > 1
        self._recent: dict[bytes, int] = {}
        self._recent_old: dict[bytes, int] = {}
        self._snapshots: dict[bytes, Sequencer] = {}  # ISIN → the stream in which a snapshot of it waits
        self._blocked: dict[str, Sequencer] = {}  # market → the stream of snapshots whose next waits for another stream
        # Runs that are being emitted: what is left of them is in no stream, and came with this capture_seq.
        self._runs: list[int] = []
        self._unsent: set[bytes] = set()  # what is left of them, and what snapshots are let out for

    # The hot loop: about 60,000 datagrams a second pass here in an auction.
    def push(self, block: Block) -> None:
        """Take a journal block of this feed."""
        recent, old = self._recent, self._recent_old
        lines, streams, emit = self.lines, self.streams, self.emit
        match, keyed, snapshots = HEAD.match, self._keyed, self._snapshots
        capture_seq = block.first_seq - 1
        released = 0
        if block.entries and block.entries[0][0] - self.heard_ns > PAUSE_NS:
            self.busy_since_ns = block.entries[0][0]
        for entry in block.entries:
            capture_seq += 1
            rx_ns, line, flags, data = entry
            counts = lines[line]
            copies = recent.get(data) or old.get(data)
            if copies is not None:
                counts.received += copies
                counts.duplicate += copies
                continue
            if len(recent) >= RECENT_MAX:
                old, recent = recent, {}
                self._recent, self._recent_old = recent, old
            head = match(data)
            if head is None or flags or not is_whole(data, head):
                recent[data] = self._spans(entry, capture_seq)
                continue
            recent[data] = 1
            counts.received += 1
            _length, msg_type, number, sent, market = head.groups()
            stream = streams.get((market, msg_type))
            if stream is not None and int(number) == stream.expected and not (stream.pending or stream.renewed):
                stream.expected += 1
                stream.last_rx_ns = rx_ns
                stream.last_sent = sent
                counts.first += 1
                released += 1
                if snapshots:
                    self._unsent.add(data)
                    self._snapshot_first(data, capture_seq)
                    self._unsent.discard(data)
                emit(entry, capture_seq, _routing_key(data, head, msg_type, market) if keyed else b"")
            else:
                self._message(entry, capture_seq, head)
        self.unique += released
        if block.entries:
            self._note_times(block)
            self._expire(block.entries[-1][0])

    def tick(self, now_ns: int) -> None:
        """Nothing arrived up to `now_ns`: declare the gaps whose wait is over."""
        self._expire(now_ns)

    def finish(self) -> None:
        """No more datagrams will come: declare what is open and release what waits."""
        for stream in self.by_name.values():
            self._give_up_all(stream)

    def new_session(self) -> None:
        """A new session date: sequences may begin anew without an alarm."""
        for stream in self.by_name.values():
            stream.change_epoch()

    def forget_streams(self, before_ns: int) -> None:
        """Numbers began anew at `before_ns` and we did not see it: of a stream that has had no message since any
        number is the next one."""
        self.by_name = {name: stream for name, stream in self.by_name.items() if stream.last_rx_ns >= before_ns}
        self.streams = {key: stream for key, stream in self.streams.items() if stream.last_rx_ns >= before_ns}
        self._blocked = {key: stream for key, stream in self._blocked.items() if stream.last_rx_ns >= before_ns}

    def oldest_waiting(self) -> int | None:
        """The lowest capture_seq that waits in a reorder buffer."""
        return min((h.capture_seq for s in self.by_name.values() for h in s.pending.values()), default=None)

    def _note_times(self, block: Block) -> None:
        for entry in (block.entries[0], block.entries[-1]):
            self.lines[entry[1]].last_rx_ns = self.heard_ns = entry[0]

    def _spans(self, entry: Entry, capture_seq: int) -> int:
        """A datagram that is not exactly one message, or was cut (its whole messages are good); returns how many spans
        it has."""
        rx_ns, line, flags, datagram = entry
        spans = split(datagram)
        counts = self.lines[line]
        for span in spans:
            counts.received += 1
            if span.head is None:
                counts.first += 1
                counts.unframed += 1
                self.unique += 1
                self.emit((rx_ns, line, FLAG_UNFRAMED | flags, span.data), capture_seq, b"")
                continue
            copies = self._recent.get(span.data) or self._recent_old.get(span.data)
            if copies:
                counts.duplicate += 1
                continue
            if len(spans) > 1:
                self._recent[span.data] = 1
            self._message((rx_ns, line, flags, span.data), capture_seq, HEAD.match(span.data))
        return len(spans)

    def _message(self, entry: Entry, capture_seq: int, head: object) -> None:
        """Every case but the plain next message of a known stream."""
        rx_ns, line, _flags, data = entry
        _length, msg_type, number, sent, market = head.groups()  # type: ignore[attr-defined]
        counts = self.lines[line]
        if msg_type == HEARTBEAT.encode() or market is None:
            counts.first += 1
            counts.heartbeats += msg_type == HEARTBEAT.encode()
            self.unique += 1
            if market is None and msg_type != HEARTBEAT.encode():
                self.emit((rx_ns, line, FLAG_MESSAGE, data), capture_seq, b"")
            return
        held = Held(rx_ns, line, capture_seq, data, _routing_key(data, head, msg_type, market) if self._keyed else b"")
        sequence = int(number)
        if sequence == 0 or msg_type.decode("latin-1") in UNCHECKED:
            counts.first += 1
            self._release(held)
            return
        stream = self._stream(market, msg_type)
        if self._restarts(stream, sequence, sent, rx_ns):
            self._restart(stream, sequence, sent, rx_ns=rx_ns)
        if stream.beginning and 0 < stream.expected - sequence < RESET_DISTANCE:
            stream.expected = sequence  # the other line has lost it
        if sequence >= stream.expected:
            if not stream.hold(sequence, held):
                counts.duplicate += 1
                counts.disagreed += 1
                return
            if msg_type == SNAPSHOT:
                self._snapshots[_isin(data)] = stream
            counts.first += 1
            stream.last_sent = max(stream.last_sent, sent)
            if not stream.beginning:
                self._release_all(stream)
            elif sequence == 1:  # nothing comes before it
                self._begin(stream)
            while len(stream.pending) >= self.feed.gap_messages_max:
                self._give_up(stream)
        elif stream.holes.discard(sequence):
            counts.late += 1
            self._emit_held(held)  # neither unique nor less missing: its range was published as a gap (I2)
        else:
            counts.duplicate += 1
            counts.disagreed += sequence >= stream.base  # below it nothing is known of what the other line said

    def _release_all(self, stream: Sequencer) -> None:
        """What has become the next in order; then the snapshots that waited for it."""
        if stream.stream == SNAPSHOTS:
            self._release_snapshots(stream)
            return
        self._release_run(stream, stream.release())
        if self._blocked and not self._runs:
            for waiting in list(self._blocked.values()):
                self._release_snapshots(waiting)

    def _release_run(self, stream: Sequencer, run: list[Held]) -> None:
        """Messages of one stream, each before what came behind it: a number that was filled in late came, for the
        others, with the first that waited for it."""
        if not self._snapshots:
            for held in run:
                self._release(held)
            return
        place, places = stream.place(0), []
        for held in reversed(run):
            place = min(place, held.capture_seq)
            places.append(place)
            self._unsent.add(held.data)
        for held in run:
            place = places.pop()
            self._runs.append(place)
            self._snapshot_first(held.data, place)
            self._unsent.discard(held.data)
            self._release(held)
            self._runs.pop()

    def _release_snapshots(self, stream: Sequencer) -> None:
        self._blocked.pop(stream.market, None)
        while stream.expected in stream.pending:
            behind_run = bool(self._runs) and stream.place(stream.expected) > self._runs[-1]
            if behind_run or self._ahead_of(stream) is not None:
                self._blocked[stream.market] = stream
                return
            self._release_snapshot(stream)

    def _release_snapshot(self, stream: Sequencer) -> None:
        held = stream.release_next()
        isin = _isin(held.data)
        if not any(_isin(later.data) == isin for later in stream.pending.values()):
            self._snapshots.pop(isin, None)
        shared, recent = self.by_name.get((stream.market, SHARED_STREAM)), (self._recent, self._recent_old)
        if shared is not None and is_overtaken(held.data, shared, recent=recent, unsent=self._unsent):
            self.on_overtaken(stream, stream.expected - 1, held)
        self._release(held)

    def _ahead_of(self, stream: Sequencer) -> Sequencer | None:
        """A stream of the market in which something has waited since before the next snapshot of `stream` came: what
        it waits for may be of the snapshot's instrument."""
        place = stream.place(stream.expected)
        for other in self.by_name.values():
            if other.pending and other is not stream and other.market == stream.market and other.place(0) < place:
                return other
        return None

    def _snapshot_first(self, data: bytes, place: int) -> None:
        """A message of an instrument is about to go out: first its snapshots that wait and belong before `place`."""
        isin = _isin(data)
        while (stream := self._snapshots.get(isin)) is not None:
            first = min((number for number, held in stream.pending.items() if _isin(held.data) == isin), default=None)
            if first is None or stream.place(first) > place:
                return
            self._give_up(stream)

    def _release(self, held: Held) -> None:
        self.unique += 1
        self._emit_held(held)

    def _emit_held(self, held: Held) -> None:
        self.emit((held.rx_ns, held.line, FLAG_MESSAGE, held.data), held.capture_seq, held.key)

    def _stream(self, market: bytes, msg_type: bytes) -> Sequencer:
        stream = self.streams.get((market, msg_type))
        if stream is None:
            name = (market.decode(), stream_of(market.decode(), msg_type.decode("latin-1")))
            stream = self.by_name.setdefault(name, Sequencer(*name))
            if msg_type != SNAPSHOT:  # few, and never plainly the next: others may have to go before it
                self.streams[market, msg_type] = stream
        return stream

    def _restarts(self, stream: Sequencer, sequence: int, sent: bytes, rx_ns: int) -> bool:
        if not stream.expected:
            return True
        if sequence >= stream.expected:  # after a reset: the first of the new numbers are lost, or this is of the old
            return bool(stream.renewed) and sent >= stream.renewed
        if stream.may_restart or sequence in stream.holes:
            return stream.may_restart
        if sequence == 1 and (sent > stream.last_sent or rx_ns - stream.last_rx_ns > RESET_IDLE_NS):
            return True
        return stream.expected - sequence >= RESET_DISTANCE and sent > stream.last_sent

    def _restart(self, stream: Sequencer, sequence: int, sent: bytes, *, rx_ns: int) -> None:
        """The first message of a stream, or a reset. One that the session does not explain, or that comes when streams
        have gone on with their old numbers in this epoch, begins a new epoch for the whole feed."""
        streams = self.by_name.values()
        if stream.expected and not (stream.may_restart and not any(one.went_on for one in streams)):
            self.resets += 1
            for other in streams:
                self._give_up_all(other)
            begun = [other for other in streams if self._has_begun_anew(other, stream, rx_ns)]
            for other in streams:
                if other not in begun:
                    other.change_epoch(sent)
            self.on_reset(rx_ns)
            for other in begun:  # its first numbers went out in the epoch before
                self.on_late_start(other, rx_ns)
        self._give_up_all(stream)
        stream.restart(sequence, rx_ns)
        stream.last_rx_ns = rx_ns
        stream.last_sent = b""

    def _has_begun_anew(self, other: Sequencer, stream: Sequencer, rx_ns: int) -> bool:
        """Whether `other` is in its new numbers already when `stream` tells the reset: it was new to us, or free to
        begin anew, so its own beginning told nothing. To take its going on for old numbers would be a second reset."""
        return other.began_ns > max(stream.last_rx_ns, self.busy_since_ns - 1, rx_ns - TOGETHER_NS)

    def _expire(self, now_ns: int) -> None:
        wait = self.feed.gap_wait_ns_max
        for stream in self.by_name.values():
            while stream.pending and now_ns - stream.waiting_since_ns > wait:
                self._give_up(stream)

    def _begin(self, stream: Sequencer) -> None:
        """Nothing lower is waited for any more: the stream begins with what came."""
        stream.beginning = False
        stream.base = stream.expected
        if stream.expected > 1:
            self.on_late_start(stream, stream.pending[stream.expected].rx_ns)
        self._release_all(stream)

    def _give_up_all(self, stream: Sequencer) -> None:
        while stream.pending:
            self._give_up(stream)

    def _give_up(self, stream: Sequencer) -> None:
        """The wait is over, for the beginning or for the lowest hole."""
        if stream.beginning:
            self._begin(stream)
            return
        if stream.expected in stream.pending:  # a snapshot that waits for another stream
            self._give_up_ahead_of(stream)
            return
        gap = stream.declare()
        self.gaps += 1
        self.missing += gap.count
        self.on_gap(gap)
        self._release_all(stream)

    def _give_up_ahead_of(self, stream: Sequencer) -> None:
        """The next snapshot goes out now, behind what came before it."""
        number = stream.expected
        while number in stream.pending:
            ahead = self._ahead_of(stream)
            if ahead is None:
                self._release_snapshot(stream)
            else:
                self._give_up(ahead)


def _routing_key(data: bytes, head: object, msg_type: bytes, market: bytes) -> bytes:
    """ISIN; the index code for M1 and ML, whose streams are the indices'; the market for messages with neither."""
    at = head.end()  # type: ignore[attr-defined]
    if msg_type not in (b"M1", b"ML"):
        start = data.find(b"\x0155=", at - 1) + 4
        if start > 3:
            return data[start : data.find(b"\x01", start)]
        return market
    start = data.find(b"\x0130167=", at - 1) + 7
    return data[start : data.find(b"\x01", start)] if start > 6 else market


def _isin(data: bytes) -> bytes:
    """Empty when the message has none."""
    start = data.find(b"\x0155=") + 4
    return data[start : data.find(b"\x01", start)] if start > 3 else b""
