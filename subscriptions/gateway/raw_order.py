"""Tells which RAW messages are new, which came again, and where some were lost.  [pure]

The rules are the parser's: message numbers by publisher (feeds/parser/turns.py) and identities by source sequence
(feeds/parser/pipeline.py). Nothing is held here: what comes early shows a loss, which is said at once.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import adler32, crc32

from feeds.krx.streams import UNCHECKED, stream_of
from feeds.parser.context import Seen
from subscriptions.gateway.raw_records import RawMessage

CHAINS_MAX = 1_024  # publishers' numberings remembered, the least recently used goes: its next one counts as a first
ORIGINS_MAX = 256  # (origin, feed, partition) whose identities are kept; the least recently used goes, as a past replay
UNSEQUENCED_MAX = 512  # identities of messages without a sequence, each partition; the oldest go and may come again

Place = tuple[str, str, str]  # (origin, feed, partition)


class Chains:
    """The publishers' message numbers."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[Place, str], int] = OrderedDict()
        self._places: dict[Place, int] = {}  # how many chains are known of each
        self.repeated = self.lost = 0

    def take(self, headers: Mapping[str, object]) -> tuple[bool, bool]:
        """Whether a RAW message is new, and whether some before it were lost. Raises KeyError, ValueError."""
        place, publisher, number = place_of(headers), str(headers["pub"]), int(str(headers["no"]))
        if number == 0:  # outside of any chain: its identity alone decides
            return True, False
        before = self._last.get((place, publisher))
        if before is not None and number <= before:
            self.repeated += 1
            return False, False
        lost = self._begins_late(place, headers, number) if before is None else number > before + 1
        self._note(place, publisher, number)
        self.lost += lost
        return True, lost

    def _begins_late(self, place: Place, headers: Mapping[str, object], number: int) -> bool:
        """A publisher that we do not know, of a partition that we do: it goes on where `from` says, or from nothing."""
        if place not in self._places:
            return False  # the first that we hear of the partition
        publisher, _, reached = str(headers.get("from", ":0")).rpartition(":")
        followed = self._last.get((place, publisher))
        return number > 1 or (followed is not None and followed < int(reached))

    def _note(self, place: Place, publisher: str, number: int) -> None:
        name = (place, publisher)
        if name not in self._last:
            self._places[place] = self._places.get(place, 0) + 1
        self._last[name] = number
        self._last.move_to_end(name)
        while len(self._last) > CHAINS_MAX:
            (gone, _), _ = self._last.popitem(last=False)
            self._places[gone] -= 1
            if not self._places[gone]:
                del self._places[gone]


@dataclass(slots=True)
class _Identities:
    epoch: int = 0
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)
    unsequenced: OrderedDict[int, None] = field(default_factory=OrderedDict)


class Identities:
    """The source sequences of each partition."""

    def __init__(self) -> None:
        self._known: OrderedDict[Place, _Identities] = OrderedDict()
        self.duplicates = 0

    def enter(self, place: Place, epoch: int) -> bool:
        """Begin a block; False when its epoch is over."""
        known = self._known.setdefault(place, _Identities())
        self._known.move_to_end(place)
        if len(self._known) > ORIGINS_MAX:
            self._known.popitem(last=False)
        if epoch > known.epoch:
            known.epoch = epoch
            known.seen.clear()
            known.unsequenced.clear()
        return epoch == known.epoch

    def is_new(self, place: Place, message: RawMessage) -> bool:
        known = self._known[place]
        if message.number == 0 or message.msg_type in UNCHECKED:
            identity = (crc32(message.data) << 32) | adler32(message.data)
            fresh = identity not in known.unsequenced
            known.unsequenced[identity] = None
            if len(known.unsequenced) > UNSEQUENCED_MAX:
                known.unsequenced.popitem(last=False)
        else:
            seen = self._seen(known, message.market, stream_of(message.market, message.msg_type))
            fresh = message.number > seen.high
            if fresh:
                seen.high = message.number
            else:
                fresh = seen.holes.discard(message.number)  # a late copy fills a declared gap
        self.duplicates += not fresh
        return fresh

    def declare_gap(self, place: Place, control: bytes) -> None:
        """A range that neither line brought: a copy that comes late is new."""
        gap = json.loads(control)
        seen = self._seen(self._known[place], str(gap["market"]), str(gap["stream"]))
        first, last = max(int(gap["from"]), seen.high + 1), int(gap["to"])
        if last >= first:
            seen.holes.add(first, last)
            seen.high = last

    @staticmethod
    def _seen(known: _Identities, market: str, stream: str) -> Seen:
        return known.seen.setdefault((market, stream), Seen())


def place_of(headers: Mapping[str, object]) -> Place:
    return str(headers["origin"]), str(headers["feed"]), str(headers["partition"])
