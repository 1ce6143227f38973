"""The storage worker's Prometheus metrics, read from its own counters when somebody scrapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

if TYPE_CHECKING:
    from subscriptions.cache.worker import StorageWorker


def storage_metrics(worker: StorageWorker) -> Iterator[Metric]:
    """What came, what was written, and whether the cache takes it."""
    for name, text, count in (
        ("messages", "PARSED messages taken.", worker.messages),
        ("images_written", "Images written to the cache.", worker.written),
        ("writes", "Writes to the cache, of many images each.", worker.writes),
        ("write_failures", "Writes that failed; the newest images wait.", worker.failures),
        ("refills", "Times that an empty or strange cache was given everything.", worker.refills),
    ):
        yield CounterMetricFamily(f"mdds_storage_{name}", text, value=count)
    dropped = CounterMetricFamily("mdds_storage_dropped", "Records not kept, by reason.", labels=["reason"])
    dropped.add_metric(["unreadable"], worker.book.unreadable)
    dropped.add_metric(["refused"], worker.book.refused)
    yield dropped
    for name, text, value in (
        ("streams", "Streams whose images are known.", len(worker.book.streams)),
        ("streams_waiting", "Streams with images that wait to be written.", len(worker.book.changed)),
        ("cache_up", "1 while the cache takes what is written, else 0.", int(worker.up)),
        ("write_seconds", "How long the last write took.", worker.write_ms / 1000),
    ):
        yield GaugeMetricFamily(f"mdds_storage_{name}", text, value=value)
