"""A feed's state: closed, live, gap, suspect, stale or failover, as a table of events.

Theory: what the lines, the calendar, the sequences and the parsers say is one event a look (`event_of`, the most
serious wins), and the table says which state it means. Data outside of trading hours is data: only silence there is
`closed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feeds.capture.line_state import UP, LineWatch

CLOSED, LIVE, GAP, SUSPECT, STALE, FAILOVER = "closed", "live", "gap", "suspect", "stale", "failover"
STATES = (CLOSED, LIVE, GAP, SUSPECT, STALE, FAILOVER)

# Events, the most serious first.
DISABLED = "disabled"  # an operator switched the feed off
OFF_HOURS = "off_hours"  # all lines silent, the calendar expects nothing
SILENCE = "silence"  # all lines silent, the calendar expects data
LOST = "lost"  # a gap was declared a moment ago
UNPROVEN = "unproven"  # data flows; some streams have not had an image since a gap or a late start
ONE_LINE = "one_line"  # data flows, on one line of two
ALL_LINES = "all_lines"  # data flows on every line, nothing is suspect

# The event alone decides: whatever the state was, the same lines, calendar and sequences mean the same.
STATE_AFTER: dict[str, str] = {
    DISABLED: CLOSED,
    OFF_HOURS: CLOSED,
    SILENCE: STALE,
    LOST: GAP,
    UNPROVEN: SUSPECT,
    ONE_LINE: FAILOVER,
    ALL_LINES: LIVE,
}

GAP_SHOWN_NS = 1_000_000_000  # a gap is shown so long, so that a storm of gaps is one state and not a flicker


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at a look."""

    lines: Sequence[LineWatch]
    disabled: bool
    expects_data: bool
    gap_age_ns: int | None  # since the last gap was declared; None: none this session
    unproven: bool


def event_of(facts: Facts) -> str | None:
    """The event of this look; None while nothing can be said yet (lines not heard, not silent for long enough)."""
    if facts.disabled:
        return DISABLED
    up = [line for line in facts.lines if line.state == UP]
    if not up:
        if not all(line.has_been_silent for line in facts.lines):
            return None
        return SILENCE if facts.expects_data else OFF_HOURS
    if facts.gap_age_ns is not None and facts.gap_age_ns < GAP_SHOWN_NS:
        return LOST
    if facts.unproven:
        return UNPROVEN
    alone = len(up) < len(facts.lines) and all(line.has_been_silent for line in facts.lines if line.state != UP)
    return ONE_LINE if alone else ALL_LINES
