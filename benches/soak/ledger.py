"""Matches what the reference expects with what PARSED brought, record by record, and forgets what is settled.

The reference is the single-threaded data path over the journal. A record's identity is its channel, market, type and
source sequence; its text, without number and receive time, must be the same on both sides. Memory holds what one side
has said and the other has not yet: the lag.
"""

from __future__ import annotations

import json
import re
from zlib import crc32

from benches.soak.order import Order

OUTSTANDING_MAX = 3_000_000  # records of lag; past it the run has failed, there is no use in going on
VIOLATIONS_MAX = 20
_PARTS = re.compile(
    r'(\{"ch":"(\w+)","s":"[^"\\]*(?:\\.[^"\\]*)*"),"n":(\d+),"ep":"([^"]*)","rx":\d+,"q":(\d+|null),'
    r'"m":(?:null|"(\w+)"),"bd":(?:null|"[^"]*"),"mt":"(\w+)"'
)
N, Q = 3, 5
OWN = frozenset({"gap", "feed", "replay", "tape"})
Gap = tuple[str, int, int]  # stream as `STO.market`, first, last


class Ledger:
    """Both sides of a run. Not thread-safe: one lock around the callers."""

    def __init__(self) -> None:
        self.expected: dict[str, int] = {}
        self.early: dict[str, int] = {}
        self.settled = 0
        self.expected_gaps: list[Gap] = []
        self.found_gaps: list[Gap] = []
        self.order = Order()
        self._violations: list[str] = []

    def expect(self, record: str) -> None:
        """A record of the reference."""
        self._take(record, self.expected, self.early, gaps=self.expected_gaps)

    def arrive(self, record: str) -> None:
        """A record of PARSED."""
        parts = self._take(record, self.early, self.expected, gaps=self.found_gaps)
        if parts is None:
            return
        head, _, n, epoch, q, market, msg_type = parts.groups()
        stream = f"{head} {epoch}"
        self.order.number(stream, int(n))
        if msg_type == "feed" and '"event":"disagreement"' in record:
            self._violation(f"I13: lines disagree, and nothing was damaged: {record[:300]}")
        if msg_type not in OWN and q != "null":
            self.order.sequence(stream, market, msg_type, q=int(q))

    @property
    def lag(self) -> int:
        return len(self.expected) + len(self.early)

    @property
    def violations(self) -> list[str]:
        return [*self._violations, *self.order.violations]

    def close(self) -> list[str]:
        """Nothing more comes: what is left on either side is a violation, and so are gaps that differ."""
        found = self.violations
        if self.expected:
            found.append(f"I5: {len(self.expected)} records never came, first {_shown(self.expected)}")
        if self.early:
            found.append(f"I5: {len(self.early)} records nobody expected, first {_shown(self.early)}")
        missing, beyond = set(self.expected_gaps) - set(self.found_gaps), set(self.found_gaps) - set(self.expected_gaps)
        if missing:
            found.append(f"I13: {len(missing)} gaps without an event, first {min(missing)}")
        if beyond:
            found.append(f"I2: {len(beyond)} gap events that the journal does not show, first {min(beyond)}")
        return found

    def _take(
        self, record: str, own: dict[str, int], other: dict[str, int], *, gaps: list[Gap]
    ) -> re.Match[str] | None:
        parts = _PARTS.match(record)
        if parts is None:
            self._violation(f"I5: not a record: {record[:200]}")
            return None
        _, channel, _, _, q, market, msg_type = parts.groups()
        if msg_type in OWN:
            if msg_type == "gap":
                gap = json.loads(record)
                gaps.append((gap["stream"], gap["from"], gap["to"]))
            return parts
        key = f"{channel} {market} {msg_type} {q}"
        text = crc32((record[: parts.start(N)] + record[parts.start(Q) :]).encode())
        there = other.pop(key, None)
        if there is None:
            if key in own:
                self._violation(f"I5: twice: {key}")
            own[key] = text
            if len(own) > OUTSTANDING_MAX:
                self._violation(f"I12: {len(own)} records of lag")
        elif there != text:
            self._violation(f"I8: other text than the reference's: {record[:300]}")
        else:
            self.settled += 1
        return parts

    def _violation(self, text: str) -> None:
        if len(self._violations) < VIOLATIONS_MAX:
            self._violations.append(text)


def _shown(rows: dict[str, int]) -> str:
    return ", ".join(sorted(rows)[:5])
