"""One stream's sequence: what is expected, what waits for a gap to fill, what was declared missing.

Theory: `expected` is the next number to release. A higher one waits in `pending` (bounded by the arbiter's
`gap_messages_max`); the other line usually fills the hole. When the wait is over the hole becomes a gap: its range
goes into `holes`, and a copy that still arrives is released late, out of order, and known as such.

A stream that begins above 1 may have lost its first messages on one line only. So what comes first is held for the
same wait (`beginning`), and a lower number that the other line brings meanwhile goes before it. Whoever begins at 1
waits for nothing.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from feeds.ranges import Ranges

LAST = sys.maxsize


@dataclass(slots=True)
class Held:
    """A message, or one that waits: what the stage needs to release it."""

    rx_ns: int
    line: int
    capture_seq: int
    data: bytes
    key: bytes


@dataclass(slots=True)
class Gap:
    """A declared gap: sequences first..last were on neither line between t0 and t1 (receive times, ns)."""

    market: str
    stream: str
    first: int
    last: int
    t0_ns: int
    t1_ns: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1


@dataclass(slots=True)
class Sequencer:
    """The state of one (market, stream)."""

    market: str
    stream: str
    expected: int = 0  # 0: nothing seen yet, any number is the base
    may_restart: bool = False  # the epoch has just changed: a lower number is a new base, not an old copy
    last_rx_ns: int = 0
    last_sent: bytes = b""  # SendingTime of the last released message; its text sorts as time
    waiting_since_ns: int = 0
    pending: dict[int, Held] = field(default_factory=dict)
    holes: Ranges = field(default_factory=Ranges)
    beginning: bool = False  # held since its first message: `expected` is the lowest number that has come
    base: int = 0  # the first number of this epoch, or what a cursor expected: of earlier copies nothing is known
    went_on_from: int = 0  # what was expected when the epoch changed
    began_ns: int = 0  # receive time of the message with which its numbers began
    renewed: bytes = b""  # SendingTime of the reset it has yet to follow: what was sent later is of new numbers

    @property
    def went_on(self) -> bool:
        """Whether the old numbers went on in this epoch, so that beginning anew in it would give them twice."""
        return self.may_restart and self.expected > self.went_on_from

    def change_epoch(self, renewed: bytes = b"") -> None:
        """From here the numbers may begin anew; after a reset, told by a message sent at `renewed`, they do."""
        self.may_restart = True
        self.renewed = renewed
        self.went_on_from = self.expected

    def hold(self, sequence: int, held: Held) -> bool:
        """Keep a message that came too early; False when its number waits already."""
        if sequence in self.pending:
            return False
        if not self.pending:
            self.waiting_since_ns = held.rx_ns
        self.pending[sequence] = held
        return True

    def release(self) -> list[Held]:
        """Take out what has become the next in order."""
        out: list[Held] = []
        while (held := self.pending.pop(self.expected, None)) is not None:
            out.append(held)
            self.expected += 1
        if out:
            self.last_rx_ns = out[-1].rx_ns
        if self.pending:
            self.waiting_since_ns = min(held.rx_ns for held in self.pending.values())
        return out

    def place(self, sequence: int) -> int:
        """The capture_seq with which a message that waits came, for other streams: a number that is filled in late was
        sent before the higher ones that came before it. Past all when none is as high."""
        return min((held.capture_seq for number, held in self.pending.items() if number >= sequence), default=LAST)

    def release_next(self) -> Held:
        """Take out the next in order, which waits."""
        held = self.pending.pop(self.expected)
        self.expected += 1
        self.last_rx_ns = held.rx_ns
        if self.pending:
            self.waiting_since_ns = min(held.rx_ns for held in self.pending.values())
        return held

    def declare(self) -> Gap:
        """Give up on the hole before the lowest pending number; `release` then yields what waited."""
        lowest = min(self.pending)
        gap = Gap(self.market, self.stream, self.expected, lowest - 1, self.last_rx_ns, self.pending[lowest].rx_ns)
        self.holes.add(gap.first, gap.last)
        self.expected = lowest
        return gap

    def restart(self, sequence: int, rx_ns: int) -> None:
        """Begin anew at `sequence` (a reset, or a new epoch); above 1, wait for lower ones."""
        self.expected = self.base = sequence
        self.began_ns = rx_ns
        self.beginning = sequence > 1
        self.may_restart = False
        self.renewed = b""
        self.pending.clear()
        self.holes = Ranges()

    def state(self) -> list[object]:
        """What a cursor keeps, values that JSON can write; `restore` is the inverse."""
        return [
            self.market,
            self.stream,
            0 if self.beginning else self.expected,  # what is held is read again, and begins again
            self.may_restart,
            self.last_rx_ns,
            self.last_sent.decode("latin-1"),
            self.holes.frozen(),  # shared by all cursors since the last gap: publishers keep many
            self.went_on_from,
            self.began_ns,
            self.renewed.decode("latin-1"),
        ]

    @classmethod
    def restore(cls, state: list[object]) -> Sequencer:
        market, stream, expected, may_restart, last_rx_ns, last_sent, holes, *rest = state
        return cls(
            market=str(market),
            stream=str(stream),
            expected=int(str(expected)),
            base=int(str(expected)),
            may_restart=bool(may_restart),
            last_rx_ns=int(str(last_rx_ns)),
            last_sent=str(last_sent).encode("latin-1"),
            holes=Ranges([(int(a), int(b)) for a, b in holes]),  # type: ignore[attr-defined]
            went_on_from=int(str(rest[0] if rest else expected)),  # a cursor of before this was kept has none
            began_ns=int(str(rest[1] if rest[1:] else 0)),
            renewed=str(rest[2] if rest[2:] else "").encode("latin-1"),
        )
