"""Computes from the truth log which sequence numbers no line delivered: the gaps a feed handler must report."""

from collections.abc import Iterable
from typing import NamedTuple

from feeds.simulator.faults import CORRUPTED, LOST, NO_LINE
from feeds.simulator.truth import TruthMessage


class MissingRange(NamedTuple):
    feed: str
    market: str
    stream: str
    first: int
    last: int


def arrived(message: TruthMessage) -> bool:
    """Whether an undamaged copy went out on at least one line."""
    return any(fate != NO_LINE and not fate & (LOST | CORRUPTED) for fate in message.fates)


def missing_ranges(messages: Iterable[TruthMessage]) -> list[MissingRange]:
    """The gaps, in the order they began, adjoining numbers joined. A loss at the very end of a stream is among them,
    though a receiver cannot know of it before the stream's next message."""
    ranges: list[MissingRange] = []
    open_ranges: dict[tuple[str, str, str], int] = {}
    for message in messages:
        if message.sequence == 0 or arrived(message):
            continue
        key = (message.feed, message.market, message.stream)
        place = open_ranges.get(key)
        if place is not None and ranges[place].last == message.sequence - 1:
            ranges[place] = ranges[place]._replace(last=message.sequence)
        else:
            open_ranges[key] = len(ranges)
            ranges.append(MissingRange(*key, message.sequence, message.sequence))
    return ranges
