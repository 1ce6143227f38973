"""Snapshots keep their place among the messages of their instrument, whatever the lines lose and whenever it comes."""

from __future__ import annotations

import random

import pytest

from feeds.blocks import Block, Entry
from feeds.capture.arbiter import Arbiter
from tests.feeds.data_path import feed_config
from tests.feeds.wire import message

MS = 1_000_000
ISINS = ("VN000000AAA1", "VN000000BBB2", "VN000000CCC3")
Sent = tuple[str, int, str]  # message type, sequence, ISIN


def of_instrument(kind: str, sequence: int, isin: str, *, sent_ms: int) -> bytes:
    sent = f"20261120 02:15:{sent_ms // 1000:02}.{sent_ms % 1000:03}"
    return message(kind, sequence, (30001, "STO"), (20004, "G1"), (55, isin), sent=sent)


def exchange(draw: random.Random, count: int) -> list[tuple[Sent, bytes]]:
    numbers = {"X": 0, "W": 0}
    made = []
    for number in range(count):
        kind, isin = "XW"[number] if number < 2 else draw.choice("XXXW"), draw.choice(ISINS)
        numbers[kind] += 1
        data = of_instrument(kind, numbers[kind], isin, sent_ms=10 * number)
        made.append(((kind, numbers[kind], isin), data))
    return made


def arrivals(draw: random.Random, made: list[tuple[Sent, bytes]], *, lost_on_both: float) -> list[tuple[int, int, int]]:
    """(time in ms, line, which message), in the order of arrival: line B is a little later."""
    found = []
    for number in range(len(made)):
        lost = draw.random() if number > 1 else 1.0  # what a stream begins with is not in question here
        if lost < lost_on_both:
            continue
        lines = {0} if lost < 0.3 else {1} if lost < 0.6 else {0, 1}
        found += [(10 * number + 35 * line + draw.randrange(5), line, number) for line in lines]
    return sorted(found)


class Released:
    """What an arbiter released, with the place in the journal of each message."""

    def __init__(self, made: list[tuple[Sent, bytes]], came: list[tuple[int, int, int]]) -> None:
        self.sent_of = {data: sent for sent, data in made}
        self.place_of = {sent: at for at, (sent, _) in enumerate(made)}
        self.messages: list[tuple[Sent, int]] = []
        self.overtaken: set[int] = set()
        arbiter = Arbiter(
            feed_config(), self._emit, on_gap=lambda gap: None, on_reset=lambda rx_ns: None,
            on_late_start=lambda stream, rx_ns: None,
            on_overtaken=lambda stream, number, held: self.overtaken.add(number),
        )  # fmt: skip
        for place, (at_ms, line, number) in enumerate(came, start=1):
            arbiter.push(Block(1, 1, place, [(at_ms * MS, line, 0, made[number][1])]))
        arbiter.tick((came[-1][0] + 10_000) * MS)
        arbiter.finish()
        self.gaps = arbiter.gaps

    def _emit(self, entry: Entry, capture_seq: int, _key: bytes) -> None:
        self.messages.append((self.sent_of[entry[3]], capture_seq))

    def behind(self) -> set[int]:
        """The numbers of snapshots that went out behind an image of their instrument that was sent later; of those
        that fill a gap nothing is told but the gap."""
        found, highest, newest = set(), 0, dict.fromkeys(ISINS, -1)
        for (kind, number, isin), _ in self.messages:
            place = self.place_of[kind, number, isin]
            if kind == "X":
                newest[isin] = max(newest[isin], place)
            elif number > highest:
                highest = number
                found |= {number} if newest[isin] > place else set()
        return found

    def misplaced(self) -> list[tuple[Sent, Sent]]:
        """Pairs of a snapshot and another message of its instrument that are not in the order in which they came: a
        message that came late came, for the other stream, with the first of the higher numbers of its own. A snapshot
        that came late may find others gone: nobody waits for it, its instrument is not known before."""
        place: dict[Sent, int] = {}
        for kind in "XW":
            least = len(self.messages) * 3
            for sent, came in sorted(((one, at) for one, at in self.messages if one[0] == kind), reverse=True):
                place[sent] = least = min(least, came)
        order, came_at = [sent for sent, _ in self.messages], dict(self.messages)
        return [
            (first, second)
            for at, first in enumerate(order)
            for second in order[at + 1 :]
            if first[0] != second[0]
            and first[2] == second[2]
            and place[first] > place[second]
            and not (second[0] == "W" and came_at[second] > place[second])
        ]


@pytest.mark.parametrize("seed", range(40))
def test_nothing_lost_on_both_lines(seed: int) -> None:
    draw = random.Random(seed)
    made = exchange(draw, 80)
    released = Released(made, arrivals(draw, made, lost_on_both=0.0))
    assert sorted(sent for sent, _ in released.messages) == sorted(sent for sent, _ in made)
    numbers = [number for (kind, number, _), _ in released.messages if kind == "X"]
    assert numbers == sorted(numbers), "snapshots wait for them, and not they for snapshots"
    assert released.misplaced() == []
    assert released.overtaken == released.behind()


@pytest.mark.parametrize("seed", range(40))
def test_with_gaps(seed: int) -> None:
    """What is given up, too soon at times, is released all the same, and in its place."""
    draw = random.Random(1_000 + seed)
    made = exchange(draw, 80)
    came = arrivals(draw, made, lost_on_both=0.1)
    released = Released(made, came)
    arrived = {made[number][0] for _, _, number in came}
    assert sorted(sent for sent, _ in released.messages) == sorted(arrived)
    late = set()  # behind a higher number of its stream: of what was given up
    for kind in "XW":
        highest = 0
        for sent, _ in released.messages:
            if sent[0] == kind:
                late |= {sent} if sent[1] < highest else set()
                highest = max(highest, sent[1])
    assert [pair for pair in released.misplaced() if not late & set(pair)] == []
    assert released.overtaken == released.behind()
    assert released.gaps
