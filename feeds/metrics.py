"""The workers' Prometheus metrics, read from the workers' own counters when somebody scrapes: nothing in the hot path.

A counter here is a number that a worker keeps anyway. The scraping thread only reads: whole dictionaries and lists are
copied in one step each, so that a scrape never sees one change under it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol, runtime_checkable

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from feeds.bus.base import BusCounts
from feeds.capture.publisher import FeedPublisher, PublisherWorker
from feeds.capture.worker import CaptureWorker
from feeds.feed_metrics import line_metrics, state_metrics
from feeds.parser.latency import BOUNDS
from feeds.parser.worker import ParserWorker

NS_PER_S = 1_000_000_000
LINES = "AB"
_ON_A_LINE = ("feed", "line")

# Attributes of LineCounts (feeds/capture/line_counts.py) and what they mean.
LINE_COUNTS = {
    "received": "Messages that a line brought: first, duplicate or late.",
    "first": "Messages whose copy on this line was the first one.",
    "duplicate": "Messages that the other line, or this one, had brought before.",
    "late": "Messages that came after their gap was declared.",
    "heartbeats": "Heartbeats of the exchange on a line.",
    "unframed": "Spans of a line's datagrams that are no FIX message.",
    "disagreed": "Messages with the sequence of an earlier copy and other bytes.",
}
FEED_COUNTS: dict[str, tuple[str, Callable[[FeedPublisher], int]]] = {
    "unique": ("Messages after arbitration.", lambda one: one.stage.arbiter.unique),
    "missing": ("Sequence numbers declared missing on both lines.", lambda one: one.stage.arbiter.missing),
    "gaps": ("Gaps declared.", lambda one: one.stage.arbiter.gaps),
    "resets": ("Unexplained sequence resets, each a new epoch.", lambda one: one.stage.arbiter.resets),
    "published": ("Messages handed to the bus.", lambda one: one.published),
    "confirmed": ("Messages that the bus confirmed.", lambda one: one.confirmed),
    "bad_bytes": ("Bytes of unreadable journal blocks skipped.", lambda one: one.reader.bad_bytes),
}
# Attributes of ParserCounts (feeds/parser/counts.py).
PARSER_COUNTS = {
    "records": "Records written to PARSED.",
    "duplicates": "Messages dropped because their identity was passed on before.",
    "repeated": "Whole RAW messages that came again.",
    "out_of_order": "RAW messages that came before their predecessor and were held.",
    "not_held": "Early RAW messages past the bound of what is held.",
    "asked": "Requests to publishers to go back for RAW messages that were lost.",
    "filled": "Broken chains of RAW messages that a publisher began again.",
    "jumps": "Jumps over RAW messages that were lost for good.",
    "jumped": "RAW messages lost in jumps.",
    "late": "Messages that filled a declared gap, or snapshots behind newer images.",
    "late_images": "Images left out because they came behind a newer one.",
    "gaps": "Gaps declared by the publisher and passed on.",
    "bad_blocks": "RAW messages that hold no readable block.",
}
BUS_COUNTS = {
    "published": "Messages sent to the bus.",
    "confirmed": "Messages that the bus confirmed.",
    "resent": "Messages sent again after a lost connection or a refusal.",
    "refused": "Messages that the bus refused (its queue is full) or did not confirm in time.",
    "dropped": "Messages dropped at the bound of a consumer's queue.",
    "delivered": "Messages that the bus delivered.",
    "reconnects": "Connections to the bus made anew.",
}


def capture_metrics(worker: CaptureWorker) -> Iterator[Metric]:
    """Per line what the kernel gave and lost; per feed what the journal took."""
    loops = list(zip(worker.feeds, worker.loops, strict=False))  # none are open before the start
    datagrams = CounterMetricFamily("mdds_capture_datagrams", "Datagrams received on a line.", labels=_ON_A_LINE)
    drops = CounterMetricFamily(
        "mdds_capture_kernel_drops", "Datagrams the kernel dropped: the receive buffer was full.", labels=_ON_A_LINE
    )
    buffers = GaugeMetricFamily(
        "mdds_capture_receive_buffer_bytes", "Size of a line's receive buffer, as the kernel says.", labels=_ON_A_LINE
    )
    journal = CounterMetricFamily("mdds_capture_journal_bytes", "Bytes written to the journal.", labels=["feed"])
    blocks = CounterMetricFamily("mdds_capture_blocks", "Blocks written to the journal.", labels=["feed"])
    failures = CounterMetricFamily(
        "mdds_capture_write_failures", "Journal writes that failed and were tried again.", labels=["feed"]
    )
    for feed, loop in loops:
        for receiver in loop.lines:
            where = (feed.name, receiver.line.name)
            datagrams.add_metric(where, receiver.received)
            drops.add_metric(where, receiver.drops)
            buffers.add_metric(where, receiver.buffer.got)
        journal.add_metric([feed.name], loop.writer.written_bytes)
        blocks.add_metric([feed.name], loop.blocks)
        failures.add_metric([feed.name], loop.write_failures)
    yield from (datagrams, drops, buffers, journal, blocks, failures)


def publisher_metrics(worker: PublisherWorker) -> Iterator[Metric]:
    """Per line how its copies fared; per feed what was missing, published and confirmed."""
    for name, text in LINE_COUNTS.items():
        family = CounterMetricFamily(f"mdds_publisher_{name}", text, labels=_ON_A_LINE)
        for publisher in worker.publishers:
            for line, counts in zip(LINES, publisher.stage.arbiter.lines, strict=True):
                family.add_metric((publisher.feed.name, line), getattr(counts, name))
        yield family
    for name, (text, read) in FEED_COUNTS.items():
        family = CounterMetricFamily(f"mdds_publisher_{name}", text, labels=["feed"])
        for publisher in worker.publishers:
            family.add_metric([publisher.feed.name], read(publisher))
        yield family
    backlog = GaugeMetricFamily(
        "mdds_publisher_backlog_bytes", "Bytes handed to the bus and not confirmed.", labels=["feed"]
    )
    for publisher in worker.publishers:
        backlog.add_metric([publisher.feed.name], publisher.backlog_bytes)
    yield backlog
    yield from state_metrics(worker)
    yield from line_metrics(worker)


def parser_metrics(worker: ParserWorker) -> Iterator[Metric]:
    """What became of the messages, over all partitions, and how long it took."""
    counts = worker.counts
    yield _by_label("mdds_parser_parsed", "Messages parsed, by MsgType.", label="type", counts=counts.parsed)
    yield _by_label("mdds_parser_dead_letters", "Messages refused, by reason.", label="reason", counts=counts.dead)
    yield _by_label(
        "mdds_parser_unrouted", "Messages of a type without router, by MsgType.", label="type", counts=counts.unrouted
    )
    for name, text in PARSER_COUNTS.items():
        yield CounterMetricFamily(f"mdds_parser_{name}", text, value=getattr(counts, name))
    yield CounterMetricFamily(
        "mdds_parser_general_path", "Messages that no compiled layout matched.", value=worker.translator.by_general
    )
    yield CounterMetricFamily(
        "mdds_parser_definitions_dropped", "Definitions not saved: too many waited.", value=worker.learned_dropped
    )
    suspect = GaugeMetricFamily(
        "mdds_parser_suspect",
        "Streams without an image since a gap or a late start.",
        labels=["feed"],
    )
    for feed, count in worker.suspect().items():
        suspect.add_metric([feed], count)
    yield suspect
    latencies = [parser.latency for parser in worker.parsers]
    yield _histogram(
        [sum(column) for column in zip(*(list(one.total) for one in latencies), strict=True)],
        sum_ns=sum(one.sum_ns for one in latencies),
    )


def bus_metrics(counts: BusCounts) -> Iterator[Metric]:
    """What one connection to the bus did; in the embedded process, all of it."""
    for name, text in BUS_COUNTS.items():
        yield CounterMetricFamily(f"mdds_bus_{name}", text, value=getattr(counts, name))
    yield CounterMetricFamily(
        "mdds_bus_blocked_seconds", "Time spent waiting for confirms.", value=counts.blocked_ns / NS_PER_S
    )


def _by_label(name: str, text: str, *, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in dict(counts).items():
        family.add_metric([value], count)
    return family


def _histogram(counts: Sequence[int], *, sum_ns: int) -> HistogramMetricFamily:
    """Live records by the time from the kernel's timestamp to PARSED; Prometheus wants counts from the start on."""
    buckets: list[tuple[str, float]] = []
    running = 0
    bounds = [*(f"{bound / NS_PER_S:.6g}" for bound in BOUNDS), "+Inf"]
    for bound, count in zip(bounds, counts, strict=True):
        running += count
        buckets.append((bound, running))
    return HistogramMetricFamily(
        "mdds_parser_receive_to_publish_seconds",
        "From the receipt of the oldest datagram to the publishing of its records, per live record.",
        buckets=buckets,
        sum_value=sum_ns / NS_PER_S,
    )


class WorkerCollector(Collector):
    """Asks one worker for its metrics at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before the first scrape; without this, registering would scrape."""
        return ()


@runtime_checkable
class Exporting(Protocol):
    """A worker of another layer that says its metrics itself."""

    def metrics(self) -> Iterable[Metric]: ...


def collectors(workers: Sequence[object]) -> list[WorkerCollector]:
    """One for each worker that has metrics of its own, and one for each bus they use."""
    found: list[WorkerCollector] = []
    buses: dict[int, BusCounts] = {}
    for worker in workers:
        match worker:
            case CaptureWorker():
                found.append(WorkerCollector(partial(capture_metrics, worker)))
            case PublisherWorker():
                found.append(WorkerCollector(partial(publisher_metrics, worker)))
            case ParserWorker():
                found.append(WorkerCollector(partial(parser_metrics, worker)))
            case Exporting():
                found.append(WorkerCollector(worker.metrics))
        bus = getattr(worker, "bus", None) or getattr(worker, "own_bus", None)
        if isinstance(counts := getattr(bus, "counts", None), BusCounts):
            buses[id(counts)] = counts
    return found + [WorkerCollector(partial(bus_metrics, counts)) for counts in buses.values()]


@contextmanager
def exported(workers: Sequence[object], *, registry: CollectorRegistry = REGISTRY) -> Iterator[None]:
    """The workers' metrics are in `registry` as long as this context lasts."""
    found = collectors(workers)
    for collector in found:
        registry.register(collector)
    try:
        yield
    finally:
        for collector in found:
            registry.unregister(collector)
