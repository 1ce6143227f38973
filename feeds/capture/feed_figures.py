"""One feed's states and line figures for the heartbeat: what the portal shows beside the counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feeds.capture.line_counts import LineCounts

if TYPE_CHECKING:
    from feeds.capture.publisher import FeedPublisher


def missing_on(counts: tuple[LineCounts, LineCounts], line: int, gaps: int) -> int:
    """What a line did not bring: messages that only the other line brought, and what neither did.

    Exact when each line brings each message once; a copy that a line repeats hides one that it missed, and the copies
    still under way count until they are here.
    """
    mine, other = counts[line], counts[1 - line]
    return max(0, other.first + other.late - mine.duplicate - mine.disagreed) + gaps


def line_missing(publisher: FeedPublisher) -> dict[str, int]:
    """`missing_on` of both lines."""
    arbiter = publisher.stage.arbiter
    still_missing = max(0, arbiter.missing - sum(counts.late for counts in arbiter.lines))
    return {name: missing_on(arbiter.lines, at, still_missing) for at, name in enumerate("AB")}


def states_of(publisher: FeedPublisher) -> dict[str, object]:
    """State, phase, lines' states, reorder buffers, skew quantiles (µs)."""
    monitor, skew = publisher.monitor, publisher.skew
    return {
        "state": monitor.state,
        "phase": monitor.phase,
        "changes": dict(monitor.changes),
        "line_states": {line.name: line.state for line in monitor.lines},
        "line_missing": line_missing(publisher),
        "reordering": sum(len(stream.pending) for stream in publisher.stage.arbiter.by_name.values()),
        "skew_us": {
            name: {"p50": skew.quantile_us(at, 0.5), "p99": skew.quantile_us(at, 0.99), "samples": sum(skew.counts[at])}
            for at, name in enumerate("AB")
        },
    }
