"""Holds the records of PARSED to their order (I7): per stream `n` counts on by one, per stream and source `q` rises."""

from __future__ import annotations

from testbed.invariants.identity import SHARED

VIOLATIONS_MAX = 20
BACK_MAX = 100_000  # late copies; past it the run has failed


class Order:
    """`n` follows on across every death and take-over. A `q` below the last one is a late copy: `back` keeps these
    until the gaps are known, for the late copies of a market's other partition may come before the gap's record."""

    def __init__(self) -> None:
        self.last: dict[str, int] = {}  # by stream (the record's text before its number, and its epoch)
        self.back: list[tuple[str, str, int]] = []  # (market, stream of the source, q)
        self.violations: list[str] = []
        self._last_q: dict[str, int] = {}

    def number(self, stream: str, n: int) -> None:
        """The number of a stream's next record."""
        before = self.last.get(stream)
        if before is not None and n != before + 1:
            self._violation(f"I7 {stream}: n {n} after {before}")
        self.last[stream] = n

    def sequence(self, stream: str, market: str, msg_type: str, *, q: int) -> None:
        """The source sequence of a stream's next record."""
        counter = source_of(market, msg_type)
        source = f"{stream} {counter}"
        if q <= self._last_q.get(source, 0):
            if len(self.back) >= BACK_MAX:
                self._violation(f"I7: more than {BACK_MAX} records out of order, the last of {source}")
            else:
                self.back.append((market, counter, q))
        else:
            self._last_q[source] = q

    def _violation(self, text: str) -> None:
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(text)


def source_of(market: str, msg_type: str) -> str:
    """The counter that a message's sequence is of: the market's shared one, or its type's own."""
    return "market" if msg_type in SHARED or (msg_type, market) == ("MX", "DVX") else msg_type
