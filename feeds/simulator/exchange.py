"""The whole fake exchange: its feeds and markets, and the messages they make when time passes.

Pure: no socket, no clock. The caller says what time it is and how many messages are wanted; the same seed and the same
calls give the same bytes.

    exchange = Exchange({"STO": ("STO",)}, symbols=50, seed=1)
    exchange.set_time(now_ns, day_time_s=0)
    messages = exchange.take(100)
"""

import random
from collections import deque
from collections.abc import Iterator, Mapping

from feeds.simulator.day import AUCTION_FACTOR, STEADY, TIMETABLES, DayEvent
from feeds.simulator.encoder import Layout
from feeds.simulator.layouts import HEARTBEAT
from feeds.simulator.market import SimulatedMarket
from feeds.simulator.message import Message
from feeds.simulator.rules import rules_of
from feeds.simulator.script import play_event
from feeds.simulator.stamp import Stamp, stamp_of
from feeds.simulator.tickers import listings_of
from feeds.simulator.traffic import Traffic

_MS = 1_000_000
_SECOND = 1_000_000_000
_IDLE_TRIES = 8
"""Draws from markets that have nothing to say before a take() gives up."""


class _Floor:
    """One market with its traffic, the events that wait for their turn and the round of each second.

    `scripts` is bounded by the timetable, ten events a day. There is one `round` at most: a second that finds the
    last one unfinished adds none.
    """

    def __init__(self, traffic: Traffic, timetable: tuple[DayEvent, ...]) -> None:
        self.traffic = traffic
        self.timetable = timetable
        self.events_done = 0
        self.scripts: deque[Iterator[Message]] = deque()
        self.round: Iterator[Message] | None = None
        self._round_next = False

    def next(self) -> Message | None:
        """Events go first; the round takes turns with the traffic, so that neither starves at a low rate."""
        while self.scripts:
            message = next(self.scripts[0], None)
            if message is not None:
                return message
            self.scripts.popleft()
        self._round_next = not self._round_next
        if self.round is not None and self._round_next:
            message = next(self.round, None)
            if message is not None:
                return message
            self.round = None
        return self.traffic.next()


class Exchange:
    """`feeds` names each feed and its markets. `steady` trades continuously from the start; otherwise each market
    follows its timetable of the day. `depth` overrides the levels of the books, `unrouted` adds MD and M4."""

    def __init__(
        self, feeds: Mapping[str, tuple[str, ...]], *, symbols: int = 50, seed: int = 1, steady: bool = True,
        depth: int | None = None, unrouted: bool = False,
    ) -> None:  # fmt: skip
        self._rng = random.Random(f"exchange {seed}")
        self._floors: list[_Floor] = []
        self._symbols = symbols
        self._second = -1
        self._stamp = Stamp(0, "", "", "")
        self.feeds = tuple(feeds)
        for feed, markets in feeds.items():
            for name in markets:
                rules = rules_of(name, depth=depth)
                rng = random.Random(f"market {seed} {feed} {name}")
                market = SimulatedMarket(feed, rules, listings_of(rules, symbols, rng), rng=rng)
                self._floors.append(_Floor(Traffic(market, unrouted=unrouted), STEADY if steady else TIMETABLES[name]))
        self._draw = self._draw_table()

    @property
    def markets(self) -> list[SimulatedMarket]:
        return [floor.traffic.market for floor in self._floors]

    @property
    def phases(self) -> dict[str, str]:
        return {floor.traffic.market.name: floor.traffic.phase for floor in self._floors}

    @property
    def rate_factor(self) -> float:
        """How much busier than a continuous session the exchange is now."""
        return AUCTION_FACTOR if any(floor.traffic.phase == "auction" for floor in self._floors) else 1.0

    @property
    def waiting(self) -> bool:
        """Whether a scripted event still has messages to send."""
        return any(floor.scripts for floor in self._floors)

    def set_time(self, now_ns: int, day_time_s: float) -> None:
        """Time passes: `now_ns` stamps the messages, `day_time_s` (local, since midnight) drives the timetable."""
        if now_ns // _MS != self._stamp.now_ns // _MS or not self._stamp.now_ns:
            self._stamp = stamp_of(now_ns)
            for floor in self._floors:
                floor.traffic.market.stamp = self._stamp
        for floor in self._floors:
            while floor.events_done < len(floor.timetable) and floor.timetable[floor.events_done].at_s <= day_time_s:
                floor.scripts.append(play_event(floor.timetable[floor.events_done], floor.traffic))
                floor.events_done += 1
        if now_ns // _SECOND != self._second:
            self._second = now_ns // _SECOND
            for floor in self._floors:
                if floor.round is None and not floor.scripts:
                    floor.round = floor.traffic.each_second()

    def take(self, count: int) -> list[Message]:
        """The next messages of all markets, at most `count`: fewer, or none, while the markets rest."""
        messages: list[Message] = []
        draw, pick = self._draw, self._rng.random
        slots = len(draw)
        idle = 0
        while len(messages) < count and idle < _IDLE_TRIES * len(self._floors):
            floor = draw[int(pick() * slots)]
            message = floor.next() if floor.scripts or floor.round is not None else floor.traffic.next()
            if message is None:
                idle += 1
            else:
                messages.append(message)
        return messages

    def heartbeats(self) -> list[Message]:
        """One MV for each feed; it has sequence number 0, which receivers skip."""
        data = _heartbeat(HEARTBEAT, self._stamp)
        return [Message(feed, "", "", 0, "MV", "", data) for feed in self.feeds]

    def new_day(self) -> None:
        """Another trading day: sequences from 1, fresh books around yesterday's close, the timetable from the top."""
        for floor in self._floors:
            market = floor.traffic.market
            closes = [
                security.listing._replace(reference=security.grid[security.last_place()])
                for security in market.securities
            ]
            market.new_day(closes)
            floor.traffic.start_phase("closed")
            floor.scripts.clear()
            floor.round = None
            floor.events_done = 0

    def _draw_table(self) -> list[_Floor]:
        table: list[_Floor] = []
        for floor in self._floors:
            table += [floor] * round(floor.traffic.market.rules.activity * 100)
        return table


def _heartbeat(layout: Layout, stamp: Stamp) -> bytes:
    return layout.encode(0, stamp.sending_time, (stamp.transact_time,))
