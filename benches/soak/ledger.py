"""Matches what the reference expects with what PARSED brought, record by record, and forgets what is settled.

The reference is the single-threaded data path over the journal. A record's identity is its channel, market, type and
source sequence; its text, without number and receive time, must be the same on both sides. Memory holds what one side
has said and the other has not yet: the lag.
"""

from __future__ import annotations

import re
from zlib import crc32

OUTSTANDING_MAX = 3_000_000  # records of lag; past it the run has failed, there is no use in going on
VIOLATIONS_MAX = 20
Key = tuple[str, str, str, str]
_PARTS = re.compile(
    r'\{"ch":"(?P<ch>\w+)",.*?,"n":(?P<n>\d+),"ep":"[^"]*","rx":\d+,"q":(?P<q>\d+|null),"m":(?P<m>null|"\w+"),'
    r'"bd":(?:null|"[^"]*"),"mt":"(?P<mt>\w+)"'
)
OWN = frozenset({"gap", "feed", "replay"})


class Ledger:
    """Both sides of a run. Not thread-safe: one lock around the callers."""

    def __init__(self) -> None:
        self.expected: dict[Key, int] = {}
        self.early: dict[Key, int] = {}
        self.settled = 0
        self.expected_gaps: list[str] = []
        self.found_gaps: list[str] = []
        self.violations: list[str] = []

    def expect(self, record: str) -> None:
        """A record of the reference."""
        self._take(record, self.expected, self.early, gaps=self.expected_gaps)

    def arrive(self, record: str) -> None:
        """A record of PARSED."""
        self._take(record, self.early, self.expected, gaps=self.found_gaps)

    @property
    def lag(self) -> int:
        return len(self.expected) + len(self.early)

    def close(self) -> list[str]:
        """Nothing more comes: what is left on either side is a violation, and so are gaps that differ."""
        found = list(self.violations)
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

    def _take(self, record: str, own: dict[Key, int], other: dict[Key, int], *, gaps: list[str]) -> None:
        parts = _PARTS.match(record)
        if parts is None:
            self._violation(f"I5: not a record: {record[:200]}")
            return
        if parts["mt"] in OWN:
            if parts["mt"] == "gap":
                gaps.append(record[parts.end() :].split(',"event"', 1)[1].split(',"t0"')[0])
            return
        key = (parts["ch"], parts["m"], parts["mt"], parts["q"])
        text = crc32((record[: parts.start("n")] + record[parts.start("q") :]).encode())
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

    def _violation(self, text: str) -> None:
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(text)


def _shown(rows: dict[Key, int]) -> str:
    return ", ".join(" ".join(key) for key in sorted(rows)[:5])
