"""The path as a picture: the boxes from the lines to the clients, each with its light and its live numbers.  [pure]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from portal import quantities
from portal.readings import GREY, Rates, Reading, worst

SILENT_AGE_S = 5.0
# What the gateway calls what it has sent; and what it calls records that a client did not get in full.
GATEWAY_RECORDS = ("delivered", "records_out")
GATEWAY_BYTES = ("sent_bytes", "bytes_out")
GATEWAY_LOSSES = ("dropped", "skipped", "discarded", "lost", "messages_dropped")


@dataclass(frozen=True, slots=True)
class Box:
    """One stage of the path. `rate` is its headline, `facts` are (label, text, is it a loss)."""

    name: str
    title: str
    hint: str
    light: str
    rate: str
    facts: tuple[tuple[str, str, bool], ...] = ()
    link: str = ""  # an anchor of the page: where the cause is shown


@dataclass(frozen=True, slots=True)
class Sample:
    """All workers at one moment, with the rates since the moment before."""

    readings: Sequence[Reading]
    rates: Rates
    now: datetime

    def of_kind(self, kind: str) -> list[Reading]:
        """The workers of a kind that were not stopped on purpose."""
        return [reading for reading in self.readings if reading.kind == kind and reading.stopped_at is None]

    def total(self, kind: str, *path: str) -> float:
        """The sum of a total over all workers of a kind."""
        return sum(reading.total(*path) for reading in self.of_kind(kind))

    def rate(self, kind: str, *path: str) -> float:
        """Per second, over all workers of a kind."""
        return sum(self.rate_of(reading, *path) for reading in self.of_kind(kind))

    def rate_of(self, reading: Reading, *path: str) -> float:
        """Per second; a worker that is silent counts nothing."""
        return self.rates.of(reading, *path) if reading.age_s(self.now) <= SILENT_AGE_S else 0.0

    def name_in_use(self, kind: str, *names: str) -> str:
        """The first of `names` that a worker of the kind reports: versions may differ while they are rolled out."""
        return next((name for name in names for one in self.of_kind(kind) if one.at(name) is not None), names[0])

    def light(self, kind: str) -> str:
        """The worst light of a kind; grey when there is no such worker."""
        return worst(reading.light(self.now) for reading in self.of_kind(kind))

    def latency_ms(self, quantile: str) -> float | None:
        """Receive to publish: the slowest parser's."""
        found = [reading.at("latency_ms", quantile) for reading in self.of_kind("parser")]
        numbers = [float(value) for value in found if isinstance(value, int | float) and not isinstance(value, bool)]
        return max(numbers, default=None)


def boxes(sample: Sample) -> list[Box]:
    """The path's boxes in the order of the data."""
    return [*_upstream(sample), *_downstream(sample)]


def _upstream(sample: Sample) -> list[Box]:
    count, size, rate = quantities.compact, quantities.size, quantities.rate
    kernel_drops = sample.total("capture", "kernel_drops")
    missing, backlog = sample.total("publisher", "missing"), sample.total("publisher", "backlog_bytes")
    return [
        Box("capture", "Capture", "Reads the lines and writes the journal, nothing else.", sample.light("capture"),
            rate(sample.rate("capture", "datagrams_total")),
            (("total", count(sample.total("capture", "datagrams_total")), False),
             ("kernel drops", count(kernel_drops), kernel_drops > 0)), "workers"),
        Box("journal", "Journal", "Every datagram as it arrived: the truth that all else is made from.",
            sample.light("capture"), f"{size(sample.rate('capture', 'journal_bytes'))}/s",
            (("written", size(sample.total("capture", "journal_bytes")), False),), "workers"),
        Box("publisher", "Publisher", "Arbitrates A and B, sequences, declares gaps, publishes to RAW.",
            sample.light("publisher"), rate(sample.rate("publisher", "unique")),
            (("unique", count(sample.total("publisher", "unique")), False),
             ("duplicate", count(sample.total("publisher", "duplicate")), False),
             ("missing", count(missing), missing > 0)), "drops"),
        Box("raw", "RAW", "FIX messages, one queue a partition.", sample.light("publisher"),
            rate(sample.rate("publisher", "confirmed")),
            (("confirmed", count(sample.total("publisher", "confirmed")), False),
             ("backlog", size(backlog), False)), "workers"),
    ]  # fmt: skip


def _downstream(sample: Sample) -> list[Box]:
    count, rate = quantities.compact, quantities.rate
    dead, dropped = sample.total("parser", "dead"), sum(sample.total("gateway", name) for name in GATEWAY_LOSSES)
    records, size = sample.name_in_use("gateway", *GATEWAY_RECORDS), sample.name_in_use("gateway", *GATEWAY_BYTES)
    clients = sample.total("gateway", "clients")
    return [
        Box("parser", "Parser", "13 message routers: FIX in, JSON records out.", sample.light("parser"),
            rate(sample.rate("parser", "parsed")),
            (("parsed", count(sample.total("parser", "parsed")), False), ("dead letters", count(dead), dead > 0),
             ("unrouted", count(sample.total("parser", "unrouted")), False)), "types"),
        Box("parsed", "PARSED", "JSON records, one stream a channel and symbol.", sample.light("parser"),
            rate(sample.rate("parser", "records")),
            (("records", count(sample.total("parser", "records")), False),
             ("p99", quantities.milliseconds(sample.latency_ms("p99")), False)), "latency"),
        Box("gateway", "Gateway", "Checks rights, fans out to the clients' outboxes.", sample.light("gateway"),
            rate(sample.rate("gateway", records)),
            (("delivered", count(sample.total("gateway", records)), False),
             ("dropped", count(dropped), dropped > 0)), "drops"),
        Box("clients", "Clients", "Authenticated WebSocket sessions.",
            sample.light("gateway") if clients else GREY, count(clients),
            (("streams", count(sample.total("gateway", "subscriptions")), False),
             ("out", f"{quantities.size(sample.rate('gateway', size))}/s", False)), "sessions"),
    ]  # fmt: skip
