"""A transcript of arbitration: what an Arbiter released and declared, event by event."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from feeds.blocks import Block, Entry
from feeds.capture.arbiter import Arbiter
from feeds.capture.line_counts import LineCounts
from feeds.capture.sequencer import Gap
from feeds.config import FeedConfig
from tests.feeds.data_path import feed_config

MS = 1_000_000
_NUMBER = re.compile(rb"\x0134=(\d+)\x01")
Event = tuple[object, ...]


@dataclass
class Transcript:
    """Acts on an arbiter at times in ms and writes down its events."""

    feed: FeedConfig = field(default_factory=feed_config)
    events: list[Event] = field(default_factory=list)
    late_starts: list[tuple[str, str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.arbiter = Arbiter(
            self.feed,
            self._emit,
            on_gap=self._gap,
            on_reset=lambda _rx_ns: self.events.append(("reset",)),
            on_late_start=lambda stream, _rx_ns: self.late_starts.append(
                (stream.market, stream.stream, stream.expected)
            ),
            on_overtaken=lambda stream, number, _held: self.events.append(("overtaken", stream.stream, number)),
        )
        self.capture_seq = 1

    def at(self, ms: int, line: str, *datagrams: bytes, flags: int = 0) -> None:
        """These datagrams arrive on `line` at `ms`."""
        entries = [(ms * MS, "AB".index(line), flags, data) for data in datagrams]
        self.arbiter.push(Block(1, 1, self.capture_seq, entries))
        self.capture_seq += len(entries)

    def clock(self, ms: int) -> None:
        self.arbiter.tick(ms * MS)

    def take(self) -> list[Event]:
        """The events since the last call."""
        events, self.events = self.events, []
        return events

    def counts(self, line: str) -> LineCounts:
        return self.arbiter.lines["AB".index(line)]

    def _emit(self, entry: Entry, _capture_seq: int, _key: bytes) -> None:
        rx_ns, line, flags, data = entry
        number = _NUMBER.search(data)
        self.events.append((rx_ns // MS, "AB"[line], int(number[1]) if number and not flags else f"flags {flags}"))

    def _gap(self, gap: Gap) -> None:
        stream = f"{gap.market}.{gap.stream}"
        self.events.append(("gap", stream, gap.first, gap.last, gap.t0_ns // MS, gap.t1_ns // MS))
