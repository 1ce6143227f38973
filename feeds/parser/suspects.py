"""What a gap made doubtful: the streams of its market, until each has had an image again.

Theory: after a gap nobody knows which symbols it hit. So the market's streams are taken out of the context's table of
streams, and the next message of each finds none there, comes here the slow way, and is judged: a full image heals its
stream, a W heals every stream of its symbol. Messages of streams that are proven pay nothing.

Trades lost are lost: the first trade or W of a (symbol, board) after the gap says how much by its total volume, and
that is a status record of the symbol. Books are proven per (symbol, board), and the stream when all its boards are;
totals are kept and checked per (symbol, board).

A market is proven again when nothing is left, or when the snapshots came around: the first W after the gap is noted,
and when its (symbol, board) comes a second time, every symbol the exchange recovers has had its W. After a late start
(the first message had a number above 1) only the second proves anything: nobody knows which symbols there are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from feeds.parser.context import Figures, Stream

RECOVERY = "W"
BOOK = "depth"
CHANNELS = ("depth", "stats", "trade", "expected", "foreign")
# What proves a stream. An expected price lives in its auction and the room of foreigners changes when they trade: the
# market does not wait for these two.
IMAGES = {"depth": {"X", "W"}, "stats": {"X", "W"}, "trade": {"X"}, "expected": {"ME"}, "foreign": {"MF"}}
WAITED_FOR = ("depth", "stats", "trade")
SHARED_STREAM = "market"

_TEXT = r'"((?:[^"\\]|\\.)*)"'  # a JSON string: whoever sends a quote in a BoardID has it escaped here
_SOURCE = re.compile(rf',"q":[^,]*,"m":{_TEXT},"bd":(?:{_TEXT}|null),"mt":{_TEXT}')
_QUANTITY = re.compile(r',"v":(\d+)')
_TOTALS = re.compile(r',"vol":(\d+),"val":([^,}]+)')


def suspects_key(feed: str, partition: int) -> str:
    """The retained value in which a parser says what is suspect: `[proven up to ns, suspect streams left]`."""
    return f"suspects.{feed}.{partition}"


class Source(NamedTuple):
    """Where a record comes from, and its text as far as it is needed."""

    market: str
    board: str
    msg_type: str
    body: str = ""


LATE = Source("", "", "")  # a copy that fills a declared gap proves nothing: it is older than what is known


class Lost(NamedTuple):
    """Trades that nobody received: `volume` between the last known totals of (isin, board) and these."""

    market: str
    board: str
    sequence: str
    volume: int
    before: tuple[int, str]
    after: tuple[int, str]


@dataclass(slots=True)
class Doubt:
    """Why a market is suspect. `healed` and `left` count streams.

    `sentinel` is a key whose statistics are proven and watched on, so that its W cannot pass unseen; `marker` is the
    (key, board) of the first W since."""

    since_ns: int
    late_start: bool
    sentinel: str | None = None
    marker: tuple[str, str] | None = None
    came_around: bool = False
    healed: int = 0
    left: int = 0  # of WAITED_FOR

    def watches(self, key: str) -> bool:
        """Whether the statistics of `key` stay here though they are proven."""
        return key == self.sentinel or (self.marker is not None and self.marker[0] == key)


class Healed(NamedTuple):
    """A market is proven again: streams healed one by one, and those that had no image till the end."""

    market: str
    since_ns: int
    healed: int
    unproven: int


Streams = dict[str, dict[str, "Stream"]]
AllFigures = Mapping[tuple[str, str], "Figures"]
# A context's streams, their markets, the statistics, and the books by board.
Tables = tuple[Streams, Mapping[str, str], AllFigures, Streams]


def source_of(body: str) -> Source:
    """Of a record's text from `,"q":` on."""
    match = _SOURCE.match(body)
    if match is None:
        return Source("", "", "", body)
    market, board, msg_type = (_plain(text or "") for text in match.groups())
    return Source(market, board, msg_type, body)


def _plain(text: str) -> str:
    """What stands between the quotes of a JSON string."""
    return str(json.loads(f'"{text}"')) if "\\" in text else text


@dataclass(slots=True)
class Suspects:
    """The suspect streams of one context. All of it is in the checkpoint."""

    doubts: dict[str, Doubt] = field(default_factory=dict)
    streams: Streams = field(default_factory=dict)
    markets: dict[str, str] = field(default_factory=dict)  # key → market, of every suspect stream
    # Key → board → the totals before the gap as JSON text; empty once they are checked.
    tape: dict[str, dict[str, str]] = field(default_factory=dict)
    boards: dict[str, list[str]] = field(default_factory=dict)  # key → boards whose book has had no image since
    gapped: set[str] = field(default_factory=set)  # markets with a gap this epoch
    unknown: set[str] = field(default_factory=set)  # markets whose day began before we listened
    through_ns: int = 0  # the last gap or late start that was taken
    partition: int = 0  # whose records speak of it

    def taken(self, rx_ns: int) -> None:
        """Everything the publisher said up to here was taken."""
        self.through_ns = max(self.through_ns, rx_ns)

    def doubt(self, market: str, rx_ns: int, tables: Tables, *, late_start: bool) -> int:
        """A gap or a late start of the market's shared stream; returns how many streams are suspect now."""
        streams, markets, figures, books = tables
        before = self.doubts.get(market)
        late = late_start or (before is not None and before.late_start)
        self.doubts[market] = Doubt(rx_ns, late, healed=0 if before is None else before.healed)
        (self.unknown if late_start else self.gapped).add(market)
        for channel in CHANNELS:
            table, by_key = self.streams.setdefault(channel, {}), streams.get(channel, {})
            for key in [key for key in by_key if markets.get(key) == market]:
                table[key] = by_key.pop(key)
                self.markets[key] = market
                if channel in ("stats", "trade"):
                    self.tape.setdefault(key, {})
        for board, by_key in books.items():
            for key in [key for key in by_key if self.markets.get(key) == market]:
                del by_key[key]
                unproven = self.boards.setdefault(key, [])
                if board not in unproven:
                    unproven.append(board)
        for (key, board), known in figures.items() if market in self.gapped else ():
            if key in self.tape and self.markets.get(key) == market and _TOTALS.search(known["trade"]):
                self.tape[key][board] = self.tape[key].get(board) or known["trade"]
        doubt = self.doubts[market]
        doubt.left = sum(1 for c in WAITED_FOR for key in self.streams.get(c, ()) if self.markets[key] == market)
        return self.left(market)

    def take(self, channel: str, key: str, source: Source, *, streams: Streams) -> Stream | None:
        """The suspect stream of `key`, back in `streams` when this image proves it; None when it is not suspect."""
        found = self.streams.get(channel, {}).get(key)
        if found is None:
            return None
        doubt = self.doubts[self.markets[key]]
        if source.msg_type == RECOVERY:
            self._recover(doubt, key, source, streams=streams)
        elif source.msg_type in IMAGES[channel] and not (channel in ("stats", "trade") and self._unchecked(key)):
            self._prove(doubt, channel, key, board=source.board, streams=streams)
        return found

    def adopt(self, channel: str, key: str, source: Source, *, streams: Streams) -> None:
        """A stream was made. The first statistics of a market that is not proven are watched from here."""
        doubt = self.doubts.get(source.market)
        if channel != "stats" or doubt is None or doubt.sentinel is not None or doubt.marker is not None:
            return
        self.streams.setdefault(channel, {})[key] = streams[channel].pop(key)
        self.markets[key] = source.market
        doubt.sentinel = key
        if source.msg_type == RECOVERY:
            self._recover(doubt, key, source, streams=streams)

    def is_proven(self, key: str, board: str) -> bool:
        """Whether the book of (key, board) has had an image since the gap."""
        return board not in self.boards.get(key, ())

    def _unchecked(self, key: str) -> bool:
        return any(self.tape.get(key, {}).values())

    def lost(self, channel: str, key: str, source: Source, *, figures: AllFigures) -> Lost | None:
        """Whether trades of (key, board) are missing before this trade or W. To be asked before `take`."""
        market, board = source.market, source.board
        if market not in self.gapped or (channel, source.msg_type) not in (("trade", "X"), ("stats", RECOVERY)):
            return None
        after = _TOTALS.search(source.body)
        if after is None:
            return None
        boards = self.tape.get(key, {})
        first_look = board not in boards
        text = boards.get(board, "")
        if key in self.tape:
            boards[board] = ""
        if channel == "trade" and not text and (key, board) in figures:
            text = figures[key, board]["trade"]
        totals = _TOTALS.search(text)
        if totals is None and (market in self.unknown or (channel == "stats" and not (boards and first_look))):
            return None  # checked already, or what was traded before we listened is not known
        own = _QUANTITY.search(source.body) if channel == "trade" else None
        before = (int(totals[1]), totals[2]) if totals is not None else (0, "0")
        volume = int(after[1]) - before[0] - (int(own[1]) if own is not None else 0)
        sequence = source.body[5 : source.body.find(",", 5)]
        return Lost(market, board, sequence, volume, before, (int(after[1]), after[2])) if volume > 0 else None

    def settled(self, streams: Streams) -> list[Healed]:
        """The markets that are proven again; what is left of them goes back."""
        done: list[Healed] = []
        for market, doubt in list(self.doubts.items()):
            if doubt.came_around or not (doubt.late_start or doubt.left):
                unproven = 0
                for channel in CHANNELS:
                    for key in [k for k in self.streams.get(channel, ()) if self.markets[k] == market]:
                        self._return(channel, key, streams)
                        unproven += not (channel == "stats" and doubt.watches(key))
                for key in [k for k, of in self.markets.items() if of == market]:
                    del self.markets[key]
                    self.tape.pop(key, None)
                    self.boards.pop(key, None)
                del self.doubts[market]
                done.append(Healed(market, doubt.since_ns, doubt.healed, unproven))
        return done

    def left(self, market: str | None = None) -> int:
        """How many streams are suspect, of one market or of all."""
        keys = (key for by_key in self.streams.values() for key in by_key)
        return sum(1 for key in keys if market is None or self.markets[key] == market)

    def report(self) -> tuple[int, int]:
        """For the publisher: (proven up to ns, how much is suspect)."""
        return self.through_ns, self.left() + sum(doubt.late_start for doubt in self.doubts.values())

    def of(self, key: str) -> list[tuple[str, Stream]]:
        """The suspect streams of a key, with their channels."""
        return [(channel, by_key[key]) for channel, by_key in self.streams.items() if key in by_key]

    def state(self) -> dict[str, object]:
        """JSON values for the checkpoint; `restore` is the inverse."""
        return {
            "doubts": {
                market: [d.since_ns, d.late_start, d.sentinel, d.marker, d.came_around, d.healed, d.left]
                for market, d in self.doubts.items()
            },
            "streams": {c: {k: [s.head, s.n] for k, s in by.items()} for c, by in self.streams.items()},
            "markets": dict(self.markets),
            "tape": {key: dict(boards) for key, boards in self.tape.items()},
            "boards": {key: list(boards) for key, boards in self.boards.items()},
            "gapped": sorted(self.gapped),
            "unknown": sorted(self.unknown),
            "through": self.through_ns,
            "partition": self.partition,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], make: Callable[[str, int], Stream]) -> Suspects:
        """`make` makes a stream of its head and number."""
        return cls(
            doubts={
                market: Doubt(since, late, sentinel, None if marker is None else (marker[0], marker[1]), *rest)
                for market, (since, late, sentinel, marker, *rest) in state.get("doubts", {}).items()
            },
            streams={c: {k: make(*v) for k, v in by.items()} for c, by in state.get("streams", {}).items()},
            markets=dict(state.get("markets", {})),
            tape={key: dict(boards) for key, boards in state.get("tape", {}).items()},
            boards={key: list(boards) for key, boards in state.get("boards", {}).items()},
            gapped=set(state.get("gapped", ())),
            unknown=set(state.get("unknown", ())),
            through_ns=int(state.get("through", 0)),
            partition=int(state.get("partition", 0)),
        )

    def clear(self) -> None:
        """A new epoch: nothing of the old one is suspect any more."""
        for table in (self.doubts, self.streams, self.markets, self.tape, self.boards, self.gapped, self.unknown):
            table.clear()

    def _recover(self, doubt: Doubt, key: str, source: Source, *, streams: Streams) -> None:
        """A W: the book of its board and every other stream of its symbol is proven. The first one after the gap marks
        the round."""
        here = (key, source.board)
        if doubt.marker == here:
            doubt.came_around = True  # `settled` sees it
            return
        if self._unchecked(key):
            return  # totals of another board are not known yet
        if doubt.marker is None and key in self.streams.get("stats", ()):
            if not doubt.watches(key):
                doubt.healed += 1
                doubt.left -= 1
            released, doubt.sentinel, doubt.marker = doubt.sentinel, None, here
            if released not in (None, key):
                self._return("stats", str(released), streams)
        for channel in CHANNELS:
            if key in self.streams.get(channel, ()):
                self._prove(doubt, channel, key, board=source.board, streams=streams)

    def _prove(self, doubt: Doubt, channel: str, key: str, *, board: str, streams: Streams) -> None:
        """An image of a stream; a book waits for those of its other boards."""
        if channel == BOOK and (unproven := self.boards.get(key)):
            if board in unproven:
                unproven.remove(board)
            if unproven:
                return
            del self.boards[key]
        self._heal(doubt, channel, key, streams=streams)

    def _heal(self, doubt: Doubt, channel: str, key: str, *, streams: Streams) -> None:
        if channel == "stats" and doubt.watches(key):
            return
        doubt.healed += 1
        doubt.left -= channel in WAITED_FOR
        if channel == "stats" and doubt.sentinel is None and doubt.marker is None:
            doubt.sentinel = key
            return
        self._return(channel, key, streams)

    def _return(self, channel: str, key: str, streams: Streams) -> None:
        streams.setdefault(channel, {})[key] = self.streams[channel].pop(key)
