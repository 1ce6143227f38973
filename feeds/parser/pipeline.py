"""The parser's core: RAW blocks in, records and dead letters out.  No I/O, no clock.

Per message: has this identity been passed on already? Which layout? Then one record per emission, numbered per
stream. Everything that decides an output is in the state, so a parser that takes over from a checkpoint and reads the
same RAW again produces the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from zlib import adler32, crc32

from feeds.blocks import FLAG_END, FLAG_GAP, FLAG_MARK, FLAG_OVERTAKEN, FLAG_STATE, FLAG_UNFRAMED, Block, Entry
from feeds.fix.framing import HEAD, TRAILER_BYTES, is_whole
from feeds.fix.layouts import Layout
from feeds.fix.plan import FRAGMENT, MERGED, RECORD, Emission
from feeds.fix.renderers import Groups
from feeds.krx.streams import UNCHECKED, stream_of
from feeds.krx.symbols import plain, symbol_name
from feeds.parser.context import Context, Seen, Slot
from feeds.parser.control import gap_record, replay_end_record, state_record
from feeds.parser.counts import ParserCounts
from feeds.parser.dead_letter import DeadLetter
from feeds.parser.healing import absent_stream, doubt
from feeds.parser.recovery import merged
from feeds.parser.rejected_ids import RejectedMessage, key_of
from feeds.parser.suspects import BOOK, LATE, Source, source_of
from feeds.parser.translator import (
    GROUP_COUNT,
    HEADER_BYTES_MIN,
    NO_QUANTITY,
    TYPE_OFFSETS,
    Rejected,
    Translator,
    Unrouted,
    strip_empty_levels,
)

LIVE = "live"
SLOTS_MAX = 4_096  # layouts remembered per context; past it they are looked up again
OWN_PARTITION = 0  # records of our own (gaps, states) are emitted by this partition's parser only


@dataclass(slots=True)
class Parsed:
    """What one block became. `first` is the number of the first record in (origin, feed, partition)."""

    records: list[str]
    first: int
    dead: list[DeadLetter]
    definitions: list[str] = field(default_factory=list)


class Said(NamedTuple):
    """One message's outputs and whose they are."""

    rule: str
    key: str
    board: str
    emissions: Sequence[Emission]
    texts: Sequence[str]

    @property
    def is_definition(self) -> bool:
        """True for a `35=d`, which alone has limits to keep beside its record."""
        return len(self.emissions) > 1


class Pipeline:
    """One partition's parser. `tickers` (ISIN → ticker) is shared and learns from live `35=d`; what a context learnt
    itself comes first and is in the checkpoint."""

    def __init__(
        self, partition: int, tickers: dict[str, str], *, translator: Translator, counts: ParserCounts
    ) -> None:
        self.partition = partition
        self.tickers = tickers
        self.translator = translator
        self.counts = counts
        self.contexts: dict[tuple[str, str], Context] = {}
        self._controls: dict[int, Callable[[Context, int, bytes, list[str]], None]] = {
            FLAG_GAP: self._gap,
            FLAG_MARK: self._mark,
            FLAG_STATE: self._state_change,
            FLAG_OVERTAKEN: self._overtaken,
            FLAG_END: self._replay_end,
        }

    def context(self, origin: str, feed: str) -> Context:
        return self.contexts.setdefault((origin, feed), Context(origin, feed))

    def feed(self, block: Block, origin: str, feed: str) -> Parsed:
        """Parse one RAW block."""
        context = self.context(origin, feed)
        if block.epoch != context.epoch:
            if block.epoch < context.epoch:
                self.counts.duplicates += len(block.entries)
                return Parsed([], context.next_record, [])
            context.begin_epoch(block.epoch)
        parsed = Parsed([], context.next_record, [])
        self._entries(context, block, parsed)
        context.next_record += len(parsed.records)
        self.counts.records += len(parsed.records)
        return parsed

    # The hot path: up to 30,000 messages a second pass here. A call costs 0.1 µs, so it makes few.
    def _entries(self, context: Context, block: Block, parsed: Parsed) -> None:
        """Every entry in order: the layout path where one matches, else the general path or a control."""
        layouts_of, add, counted = self.translator.layouts.get, parsed.records.append, self.counts.parsed
        slot_of, mid = context.slots.get, context.mid
        for entry in block.entries:
            rx_ns, _line, flags, data = entry
            try:
                text = data.decode()
                at = 0 if flags else TYPE_OFFSETS[len(data)]
            except (UnicodeDecodeError, IndexError):
                at = 0
            if not at:
                self._unusual(context, entry, parsed=parsed, block=block)
                continue
            if (key := text[at : at + 2]) == "X\x01":  # layout_key, without the call
                count = text.find(GROUP_COUNT, at + HEADER_BYTES_MIN)
                key = text[count + 5 : count + 8]
            layouts = layouts_of(key)
            layout = layouts[0] if layouts else None
            match = layout.fullmatch(text, at, len(text) - TRAILER_BYTES) if layout is not None else None
            if layout is None or match is None:
                found = self.translator.find(text, at)
                if found is None:
                    self._unusual(context, entry, parsed=parsed, block=block)
                    continue
                layout, match = found
            groups = match.groups()
            msg_type, sequence_at, key, symbol_at, record = layout.hot
            seen, by_key = slot_of(layout) or self._slot(context, layout)
            number = int(groups[sequence_at])
            late: bool | None = False
            if seen is not None and number > seen.high:
                seen.high = number
            elif (late := self._is_new(context, layout.market, msg_type, number=number, data=data)) is None:
                continue
            if symbol_at >= 0:
                key += groups[symbol_at]
            counted[msg_type] += 1
            if record is None or late:
                self._several(context, layout, key, groups=groups, arrival=(rx_ns, late), parsed=parsed)
                continue
            if (stream := by_key.get(key)) is None:
                channel = layout.emissions[0].target
                symbol = self._symbol(context, layout.symbol_rule, key)
                source = Source(layout.market, layout.board, msg_type)
                out = (rx_ns, parsed.records)
                stream = absent_stream(context, channel, key, symbol=symbol, source=source, out=out)
            stream.n = n = stream.n + 1
            text = record(stream.head, n, mid, rx_ns, groups)
            add(strip_empty_levels(text) if NO_QUANTITY in text else text)

    def _slot(self, context: Context, layout: Layout) -> Slot:
        """What a layout's messages need of the context at each message, looked up once per epoch."""
        msg_type = layout.msg_type
        seen = None if msg_type in UNCHECKED else self._seen(context, layout.market, msg_type)
        if len(context.slots) >= SLOTS_MAX:  # layouts come and go with hostile shapes
            context.slots.clear()
        target = layout.emissions[0].target
        tables, name = (context.boards, layout.board) if target == BOOK else (context.streams, target)
        slot = context.slots[layout] = (seen, tables.setdefault(name, {}))
        return slot

    def _several(
        self,
        context: Context,
        layout: Layout,
        key: str,
        *,
        groups: Groups,
        arrival: tuple[int, bool | None],
        parsed: Parsed,
    ) -> None:
        """A message of several emissions, or a late one."""
        rx_ns, late = arrival
        texts = layout.texts(groups)
        if layout.strips:
            texts = tuple(strip_empty_levels(text) for text in texts)
        if layout.ticker_index >= 0:
            self._learn(context, key, groups[layout.ticker_index])
        said = Said(layout.symbol_rule, key, layout.board, layout.emissions, texts)
        self._emit(context, rx_ns, said, late=bool(late), parsed=parsed)

    def _unusual(self, context: Context, entry: Entry, *, parsed: Parsed, block: Block) -> None:
        rx_ns, line, flags, data = entry
        control = self._controls.get(flags)
        if control is not None:
            control(context, rx_ns, data, parsed.records)
        elif flags == 0 or flags & FLAG_UNFRAMED:
            self._general(context, (rx_ns, line), data, parsed=parsed, block=block)

    def _general(
        self, context: Context, arrival: tuple[int, int], data: bytes, *, parsed: Parsed, block: Block
    ) -> None:
        rx_ns, line = arrival
        try:
            said = self.translator.general(data)
        except Unrouted as error:
            if not context.seen_before(_content(data)):
                self.counts.unrouted[error.msg_type] = self.counts.unrouted.get(error.msg_type, 0) + 1
            return
        except Rejected as error:
            if context.seen_before(_identity(rx_ns, data)):
                self.counts.duplicates += 1
                return
            self.counts.dead[error.reason] = self.counts.dead.get(error.reason, 0) + 1
            where = (context.feed, context.epoch, context.origin, block.first_seq)
            letter = DeadLetter(error.reason, error.text, error.offset, data, rx_ns, line, *where, self.partition)
            parsed.dead.append(letter)
            self._note_rejected(context, data)
            return
        late = self._is_new(context, said.market, said.msg_type, number=said.sequence, data=data)
        if late is None:
            return
        if said.ticker and said.rule == "isin":
            self._learn(context, said.key, said.ticker)
        outcome = Said(said.rule, said.key, said.board, said.emissions, said.texts)
        self._emit(context, rx_ns, outcome, late=late, parsed=parsed)
        self.counts.parsed[said.msg_type] += 1

    def _emit(self, context: Context, rx_ns: int, said: Said, *, late: bool, parsed: Parsed) -> None:
        """Number and append the records of one message."""
        rule, key, board, emissions, texts = said
        records, streams = parsed.records, context.streams
        figures = None
        for emission, body in zip(emissions, texts, strict=True):
            if late and emission.image:
                self.counts.late_images += emission.action not in (FRAGMENT, MERGED)
                continue
            target = emission.target
            if emission.action != RECORD:
                if figures is None:
                    figures = context.figures_of(key, board)
                if emission.action == FRAGMENT:
                    figures[target] = body
                    continue
                if emission.action == MERGED:
                    figures[target] = merged(figures[target], body)
                    continue
                body = f"{body}{figures['trade']}{figures['limits']}{figures['close']}}}"
            by_key = streams.get(target) if target != BOOK else context.boards.get(board)
            stream = by_key.get(key) if by_key is not None else None
            if stream is None:
                symbol, source = self._symbol(context, rule, key), LATE if late else source_of(body)
                stream = absent_stream(context, target, key, symbol=symbol, source=source, out=(rx_ns, records))
            stream.n = n = stream.n + 1
            records.append(f"{stream.head}{n}{context.mid}{rx_ns}{body}")
            if target == "definition" and said.is_definition:
                parsed.definitions.append(records[-1])

    def _is_new(self, context: Context, market: str, msg_type: str, *, number: int, data: bytes) -> bool | None:
        """None: passed on already. False: new. True: a late copy that fills a declared gap."""
        if number == 0 or msg_type in UNCHECKED:  # never in `seen`, so the layout path comes here too
            if not context.seen_before(_content(data), _sent(market, msg_type, data)):
                return False
            self.counts.duplicates += 1
            return None
        seen = self._seen(context, market, msg_type)
        if number > seen.high:
            seen.high = number
            return False
        if seen.holes.discard(number):
            self.counts.late += 1
            return True
        rejected = context.rejected.take(market, stream_of(market, msg_type), number)
        if rejected is not None:  # a dead letter that was put in again after a fix
            self.counts.reinjected += 1
            return context.images_of(rejected.key) != rejected.images
        self.counts.duplicates += 1
        return None

    def _note_rejected(self, context: Context, data: bytes) -> None:
        """Keep the identity of a framed message that became a dead letter, so that it is no duplicate after a fix."""
        head = HEAD.match(data)
        if head is None or head[5] is None or not is_whole(data, head):
            return
        market, msg_type, number = head[5].decode(), head[2].decode("latin-1"), int(head[3])
        if number == 0 or msg_type in UNCHECKED:
            return  # told by their content
        seen = self._seen(context, market, msg_type)
        if number > seen.high or seen.holes.discard(number):
            seen.high = max(seen.high, number)
            key = key_of(data, msg_type)
            rejected = RejectedMessage(key, context.images_of(key))
            context.rejected.note(market, stream_of(market, msg_type), number, rejected=rejected)

    def _seen(self, context: Context, market: str, msg_type: str) -> Seen:
        """One Seen per (market, stream), found by any message type of the stream."""
        seen = context.seen.get((market, msg_type))
        if seen is None:
            name = stream_of(market, msg_type)
            seen = context.seen.setdefault((market, name), Seen())
            context.seen[market, msg_type] = seen
        return seen

    def _symbol(self, context: Context, rule: str, key: str) -> str:
        return plain(symbol_name(rule, key, context.tickers if key in context.tickers else self.tickers))

    def _learn(self, context: Context, isin: str, ticker: str) -> None:
        if not ticker or context.tickers.get(isin) == ticker:
            return
        known = context.tickers.get(isin) or self.tickers.get(isin)
        context.tickers[isin] = ticker
        if context.origin == LIVE:  # what a replay learns of another day names no live stream
            self.tickers[isin] = ticker
        if known != ticker:
            context.rename(isin, plain(ticker))

    def _gap(self, context: Context, rx_ns: int, data: bytes, records: list[str]) -> None:
        gap = json.loads(data)
        seen = context.seen.setdefault((gap["market"], gap["stream"]), Seen())
        gap["from"] = max(gap["from"], seen.high + 1)  # another publisher may have brought a part of it
        if gap["to"] >= gap["from"]:
            seen.holes.add(gap["from"], gap["to"])
            seen.high = gap["to"]
            self.counts.gaps += 1
            if self.partition == OWN_PARTITION:
                records.append(gap_record(context, rx_ns, gap))
            records += doubt(context, gap, rx_ns, late_start=False, partition=self.partition)
        context.suspects.taken(rx_ns)

    def _mark(self, context: Context, _rx_ns: int, data: bytes, _records: list[str]) -> None:
        """How far a publisher is: what it released for us came before this, and what it missed it has declared. So a
        gap of its partner below is none."""
        for market, stream, number in json.loads(data):
            seen = context.seen.setdefault((market, stream), Seen())
            seen.high = max(seen.high, number)

    def _state_change(self, context: Context, rx_ns: int, data: bytes, records: list[str]) -> None:
        if context.seen_before(_identity(rx_ns, data)):
            return
        state = json.loads(data)
        late_start = state.get("event") == "late_start"
        if late_start:
            seen = context.seen.setdefault((state["market"], state["stream"]), Seen())
            if seen.high >= state["to"]:  # the other publisher of the pair was there
                return
            state["from"] = max(state["from"], seen.high + 1)
            seen.holes.add(state["from"], state["to"])  # what the other may yet bring
            seen.high = state["to"]
        if self.partition == OWN_PARTITION:
            records.append(state_record(context, rx_ns, state))
        if late_start:
            records += doubt(context, state, rx_ns, late_start=True, partition=self.partition)
            context.suspects.taken(rx_ns)

    def _overtaken(self, context: Context, _rx_ns: int, data: bytes, _records: list[str]) -> None:
        """The snapshot that follows is behind newer messages of its instrument: like one that fills a gap."""
        market, stream, number = json.loads(data)
        seen = context.seen.setdefault((market, stream), Seen())
        if number > seen.high:  # else another publisher of the pair has brought it in its place
            seen.holes.add(number, number)
            seen.high = number

    def _replay_end(self, context: Context, rx_ns: int, _data: bytes, records: list[str]) -> None:
        records.append(replay_end_record(context, rx_ns, self.partition))


def _content(data: bytes) -> int:
    """The identity of a sound message without a checked sequence: its bytes, SendingTime among them, whichever line and
    whenever. Stable between processes, unlike `hash`."""
    return (crc32(data) << 32) | adler32(data)


def _sent(market: str, msg_type: str, data: bytes) -> tuple[str, str] | None:
    head = HEAD.match(data)
    return None if head is None else (f"{market}.{msg_type}", head[4].decode("latin-1"))


def _identity(rx_ns: int, data: bytes) -> int:
    """The identity of what may be said again in the same bytes (garbage, a state): when it came and what it was."""
    return (rx_ns << 32) | crc32(data)
