"""What a parser remembers of one feed and origin: sequences seen, stream numbers, statistics, the epoch."""

from __future__ import annotations

from dataclasses import dataclass, field

from feeds.fix.layouts import Layout
from feeds.krx.streams import stream_of
from feeds.parser.rejected_ids import RejectedIds
from feeds.parser.suspects import Suspects
from feeds.ranges import Ranges
from feeds.records import EVENT_CHANNELS, epoch_text, stream_head

# Identities kept of messages without a usable sequence; past it the oldest half is forgotten, and of each (market,
# type) the latest SendingTime among them is kept: what was not sent after it was passed on already.
UNSEQUENCED_MAX = 512
NO_TRADE = ',"o":null,"h":null,"l":null,"c":null,"vol":null,"val":null'
NO_LIMITS = ',"ref":null,"ceil":null,"floor":null'


@dataclass(slots=True)
class Stream:
    """One (channel, symbol): the text its records begin with and the number of its last record."""

    head: str
    n: int = 0


@dataclass(slots=True)
class Seen:
    """One (market, stream) of the source: the highest sequence passed on, and the declared holes below it."""

    high: int = 0
    holes: Ranges = field(default_factory=Ranges)


# What the messages of one layout need: their stream of the source (None: unchecked) and the streams of their channel.
Slot = tuple[Seen | None, dict[str, Stream]]

# The statistics of one symbol and board, as rendered JSON fragments: `trade`, `limits`, `close`.
Figures = dict[str, str]


def no_figures() -> Figures:
    """Nothing known yet."""
    return {"trade": NO_TRADE, "limits": NO_LIMITS, "close": ""}


class Context:
    """State of one (origin, feed). Everything here is in the checkpoint, so that a successor goes on exactly."""

    def __init__(self, origin: str, feed: str) -> None:
        self.origin = origin
        self.feed = feed
        self.epoch = 0
        self.mid = ""
        self.next_record = 1
        self.streams: dict[str, dict[str, Stream]] = {}
        # Board → key → the book's stream, where the last image of (key, board) is proven: what a book looks in first.
        self.boards: dict[str, dict[str, Stream]] = {}
        self.seen: dict[tuple[str, str], Seen] = {}
        self.slots: dict[Layout, Slot] = {}  # a cache: gone with the epoch, not in the checkpoint
        self.figures: dict[tuple[str, str], Figures] = {}
        self.unsequenced: dict[int, tuple[str, str] | None] = {}  # identity → (market.type, SendingTime)
        self.forgotten: dict[str, str] = {}  # market.type → the latest SendingTime that is no longer in `unsequenced`
        self.rejected = RejectedIds()
        self.markets: dict[str, str] = {}  # key → market, of the streams that a gap makes suspect
        self.suspects = Suspects()
        self.chains: dict[str, int] = {}
        # By publisher: the RAW messages (first, last) that are given up, and not said yet. See Turns.decide.
        self.jumps: dict[str, tuple[int, int]] = {}
        self.feed_state = ""  # the last record that said the feed's state, for gateways that start later
        self.tickers: dict[str, str] = {}  # ISIN → ticker as this feed's `35=d` said; a replay's stay its own

    def begin_epoch(self, epoch: int) -> None:
        """Numbers and sequences begin anew; what instruments are called stays."""
        self.epoch = epoch
        job = f',"job":"{self.origin}"' if self.origin != "live" else ""
        self.mid = f',"ep":"{epoch_text(epoch)}"{job},"rx":'
        self.streams.clear()
        self.boards.clear()
        self.seen.clear()
        self.slots.clear()
        self.figures.clear()
        self.unsequenced.clear()
        self.forgotten.clear()
        self.markets.clear()
        self.suspects.clear()
        self.rejected = RejectedIds()

    def stream(self, channel: str, key: str, symbol: str) -> Stream:
        """The stream of `key` (ISIN, index, board) in `channel`, made when new."""
        by_key = self.streams.setdefault(channel, {})
        found = by_key.get(key)
        if found is None:
            found = by_key[key] = Stream(stream_head(channel, symbol))
        return found

    def figures_of(self, key: str, board: str) -> Figures:
        figures = self.figures.get((key, board))
        if figures is None:
            figures = self.figures[key, board] = no_figures()
        return figures

    def images_of(self, key: str) -> int:
        """How many images of `key` have passed; an older one than the last of them must not replace it."""
        passed = [(ch, by[key]) for ch, by in self.streams.items() if key in by] + self.suspects.of(key)
        return sum(stream.n for ch, stream in passed if ch not in EVENT_CHANNELS)

    def rename(self, isin: str, ticker: str) -> None:
        """An instrument's ticker was learnt: its streams go on under that name, numbers included."""
        for channel, by_key in self.streams.items():
            if isin in by_key:
                by_key[isin].head = stream_head(channel, ticker)
        for channel, stream in self.suspects.of(isin):
            stream.head = stream_head(channel, ticker)

    def seen_before(self, identity: int, sent: tuple[str, str] | None = None) -> bool:
        """Whether a message without a sequence came already; notes it. `sent`: (market.type, SendingTime)."""
        if identity in self.unsequenced:
            return True
        if sent is not None and sent[1] <= self.forgotten.get(sent[0], ""):
            return True
        if len(self.unsequenced) >= UNSEQUENCED_MAX:
            for old in list(self.unsequenced)[: UNSEQUENCED_MAX // 2]:
                gone = self.unsequenced.pop(old)
                if gone is not None:
                    self.forgotten[gone[0]] = max(gone[1], self.forgotten.get(gone[0], ""))
        self.unsequenced[identity] = sent
        return False

    def state(self) -> dict[str, object]:
        """JSON values; `restore` is the inverse."""
        return {
            "origin": self.origin,
            "feed": self.feed,
            "epoch": self.epoch,
            "next": self.next_record,
            "streams": {c: {k: [s.head, s.n] for k, s in by.items()} for c, by in self.streams.items()},
            "boards": {board: list(by_key) for board, by_key in self.boards.items() if by_key},
            # A Seen stands under its stream's name and under each message type of it; the name is enough.
            "seen": [
                [*key, seen.high, [list(r) for r in seen.holes]]
                for key, seen in self.seen.items()
                if stream_of(*key) == key[1]
            ],
            "figures": [[*key, f["trade"], f["limits"], f["close"]] for key, f in self.figures.items()],
            "unsequenced": list(self.unsequenced),
            "sent": list(self.unsequenced.values()),
            "forgotten": dict(self.forgotten),
            "rejected": self.rejected.state(),
            "markets": dict(self.markets),
            "suspects": self.suspects.state(),
            "chains": dict(self.chains),
            "jumps": {publisher: list(lost) for publisher, lost in self.jumps.items()},
            "feed_state": self.feed_state,
            "tickers": dict(self.tickers),
        }

    @classmethod
    def restore(cls, state: dict[str, object]) -> Context:
        context = cls(str(state["origin"]), str(state["feed"]))
        context.begin_epoch(int(str(state["epoch"])))
        context.next_record = int(str(state["next"]))
        streams: dict[str, dict[str, list[object]]] = state["streams"]  # type: ignore[assignment]
        for channel, by_key in streams.items():
            context.streams[channel] = {k: Stream(str(h), int(str(n))) for k, (h, n) in by_key.items()}
        for market, stream, high, holes in state["seen"]:  # type: ignore[attr-defined]
            context.seen[market, stream] = Seen(high, Ranges(holes))
        for isin, board, trade, limits, close in state["figures"]:  # type: ignore[attr-defined]
            context.figures[isin, board] = {"trade": trade, "limits": limits, "close": close}
        context.markets = dict(state.get("markets", {}))  # type: ignore[call-overload]
        context.suspects = Suspects.restore(state.get("suspects", {}), Stream)  # type: ignore[arg-type]
        context._restore_boards(state.get("boards", {}))  # type: ignore[arg-type]
        identities: list[int] = state["unsequenced"]  # type: ignore[assignment]
        sent: list[list[str] | None] = state.get("sent") or [None] * len(identities)  # type: ignore[assignment]
        context.unsequenced = {
            identity: None if when is None else (when[0], when[1])
            for identity, when in zip(identities, sent, strict=True)
        }
        context.forgotten = dict(state.get("forgotten", {}))  # type: ignore[call-overload]
        context.rejected = RejectedIds.restore(state.get("rejected", []))  # type: ignore[arg-type]
        context.feed_state = str(state.get("feed_state", ""))
        context.chains = dict(state["chains"])  # type: ignore[call-overload]
        jumps: dict[str, list[int]] = state.get("jumps", {})  # type: ignore[assignment]
        context.jumps = {publisher: (first, last) for publisher, (first, last) in jumps.items()}
        context.tickers = dict(state["tickers"])  # type: ignore[call-overload]
        return context

    def _restore_boards(self, boards: dict[str, list[str]]) -> None:
        """A book's stream stands under each of its boards, the same one."""
        books = {**self.streams.get("depth", {}), **self.suspects.streams.get("depth", {})}
        for board, keys in boards.items():
            self.boards[board] = {key: books[key] for key in keys}
