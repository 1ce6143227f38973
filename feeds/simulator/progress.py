"""Words the simulator's counters for people."""

from typing import Any


def status_line(summary: dict[str, Any]) -> str:
    """One line while it runs; padded, so that it covers the line before on a terminal."""
    return f"simulator: {_counters(summary)} | {_phases(summary)}".ljust(110)


def summary_line(summary: dict[str, Any]) -> str:
    """The last line of a run."""
    return f"simulator: ended after {summary['elapsed_s']:.1f} s: {_counters(summary)}"


def _counters(summary: dict[str, Any]) -> str:
    lines: dict[str, dict[str, int]] = {}
    for feed in summary["feeds"].values():
        for name, counts in feed["lines"].items():
            total = lines.setdefault(name, dict.fromkeys(counts, 0))
            for key, count in counts.items():
                total[key] += count
    parts = [f"{summary['messages']:,} messages, {summary['rate']:,.0f}/s"]
    for name, counts in lines.items():
        faults = [f"{key} {counts[key]:,}" for key in ("lost", "duplicated", "reordered", "corrupted") if counts[key]]
        parts.append(", ".join([f"{name} sent {counts['sent']:,}", *faults]))
    if summary["skipped"]:
        parts.append(f"{summary['skipped']:,} skipped, the machine was too slow")
    return "; ".join(parts)


def _phases(summary: dict[str, Any]) -> str:
    return " ".join(f"{market} {phase}" for market, phase in summary["phases"].items())
