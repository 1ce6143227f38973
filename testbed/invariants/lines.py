"""I1 and I3: every datagram of a line is accounted for, and the journal holds what arrived, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from testbed.invariants.identity import some

LOOK_AHEAD = 200_000  # datagrams that may be missing in a row
SLACK_NS = 300_000_000  # around an outage: what waited in the socket of a capture that was killed


@dataclass(frozen=True, slots=True)
class LineSums:
    """Datagrams of one line from the exchange to the journal."""

    name: str
    sent: int  # by the exchange
    relay_received: int
    relay_kernel_drops: int
    relay_lost: int  # on purpose
    relay_doubled: int
    relay_sent: int


def every_datagram_is_accounted(line: LineSums, *, journaled: int, kernel_drops: int, in_outages: int) -> list[str]:
    """I1: sent = received + kernel drops + injected loss."""
    came = line.relay_received + line.relay_kernel_drops
    violations = []
    if line.sent != came:
        violations.append(f"I1 line {line.name}: {line.sent} sent, {came} at the relay")
    went = line.relay_received - line.relay_lost + line.relay_doubled
    if went != line.relay_sent:
        violations.append(f"I1 line {line.name}: the relay should have sent {went}, it sent {line.relay_sent}")
    if line.relay_sent != journaled + kernel_drops + in_outages:
        violations.append(
            f"I1 line {line.name}: {line.relay_sent} sent to the capture, {journaled} journaled + {kernel_drops} "
            f"dropped by the kernel + {in_outages} while it was away"
        )
    return violations


@dataclass(slots=True)
class JournalMatch:
    """What of a line's datagrams the journal has. `missing` are (number on the line from 0, time it was sent)."""

    missing: list[tuple[int, int]]
    unknown: list[int]


def match(forwarded: Sequence[tuple[int, bytes]], journaled: Sequence[bytes]) -> JournalMatch:
    """Both in order: (time, digest) of what went out, digests of what was journaled. A line keeps its order."""
    result = JournalMatch([], [])
    at = 0
    for number, digest in enumerate(journaled):
        ahead = (i for i, row in enumerate(islice(forwarded, at, at + LOOK_AHEAD), at) if row[1] == digest)
        found = next(ahead, None)
        if found is None:
            result.unknown.append(number)
            continue
        result.missing += [(i, forwarded[i][0]) for i in range(at, found)]
        at = found + 1
    result.missing += [(i, forwarded[i][0]) for i in range(at, len(forwarded))]
    return result


def within(outages: Sequence[tuple[int, int]], at_ns: int) -> bool:
    return any(first - SLACK_NS <= at_ns <= last + SLACK_NS for first, last in outages)


def journal_is_what_arrived(
    line: str, found: JournalMatch, *, outages: Sequence[tuple[int, int]], kernel_drops: int
) -> list[str]:
    """I3: journal read back = received, bytes equal; what is missing fell into an outage or was counted."""
    violations = []
    if found.unknown:
        violations.append(f"I3 line {line}: journaled and never sent so: entries {some(found.unknown)}")
    lost = [number for number, at_ns in found.missing if not within(outages, at_ns)]
    if len(lost) > kernel_drops:
        violations.append(
            f"I3 line {line}: {len(lost)} datagrams sent and not journaled, {kernel_drops} dropped by the kernel: "
            f"numbers {some(lost)}"
        )
    return violations
