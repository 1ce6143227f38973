"""The metrics of feed states, lines' figures and skew, read from the publisher's own counters at a scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from feeds.capture.feed_figures import line_missing
from feeds.capture.feed_state import STATES
from feeds.capture.line_state import STATES as LINE_STATES
from feeds.capture.publisher import PublisherWorker
from feeds.capture.skew import BOUNDS_US

US_PER_S = 1_000_000
LINES = "AB"


def state_metrics(worker: PublisherWorker) -> Iterator[Metric]:
    """1 for the state that holds, 0 for the others; changes by state; what the history could not keep."""
    states = GaugeMetricFamily("mdds_publisher_feed_state", "1 for the state a feed is in.", labels=["feed", "state"])
    lines = GaugeMetricFamily("mdds_publisher_line_state", "1 for a line's state.", labels=["feed", "line", "state"])
    changes = CounterMetricFamily("mdds_publisher_feed_state_changes", "Changes into it.", labels=["feed", "state"])
    dropped = CounterMetricFamily(
        "mdds_publisher_history_dropped", "History rows not kept: too many waited.", labels=["feed"]
    )
    for publisher in worker.publishers:
        monitor, name = publisher.monitor, publisher.feed.name
        for state in STATES:
            states.add_metric([name, state], float(monitor.state == state))
            changes.add_metric([name, state], monitor.changes.get(state, 0))
        for line in monitor.lines:
            for state in LINE_STATES:
                lines.add_metric([name, line.name, state], float(line.state == state))
        dropped.add_metric([name], monitor.notes_dropped)
    lost = CounterMetricFamily(
        "mdds_publisher_history_lost", "History rows given up: the database was away.", value=worker.edge.notes_lost
    )
    yield from (states, lines, changes, dropped, lost)


def line_metrics(worker: PublisherWorker) -> Iterator[Metric]:
    """What each line did not bring, what waits to be put in order, how far the copies are apart."""
    missing = GaugeMetricFamily(
        "mdds_publisher_line_missing", "Messages that a line did not bring, the other one's late ones included.",
        labels=["feed", "line"],
    )  # fmt: skip
    waiting = GaugeMetricFamily("mdds_publisher_reordering", "Messages waiting for a gap to fill.", labels=["feed"])
    skew = HistogramMetricFamily(
        "mdds_publisher_line_skew_seconds", "How much later than the other a line brought a message, sampled.",
        labels=["feed", "line"],
    )  # fmt: skip
    for publisher in worker.publishers:
        name = publisher.feed.name
        for at, count in enumerate(line_missing(publisher).values()):
            missing.add_metric([name, LINES[at]], count)
        waiting.add_metric([name], sum(len(one.pending) for one in list(publisher.stage.arbiter.by_name.values())))
        for at, line in enumerate(LINES):
            buckets, running = [], 0
            bounds = [*(f"{bound / US_PER_S:.6g}" for bound in BOUNDS_US), "+Inf"]
            for bound, count in zip(bounds, list(publisher.skew.counts[at]), strict=True):
                running += count
                buckets.append((bound, float(running)))
            skew.add_metric([name, line], buckets=buckets, sum_value=publisher.skew.sums_us[at] / US_PER_S)
    yield from (missing, waiting, skew)
