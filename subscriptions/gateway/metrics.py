"""The gateway's Prometheus metrics; the counts live in plain integers and are carried over once a second."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import Counter, Gauge, Histogram

RECORDS_IN = Counter("mdds_gateway_records_in_total", "Records taken from PARSED.")
BYTES_IN = Counter("mdds_gateway_bytes_in_total", "Bytes of records taken from PARSED.")
DELIVERED = Counter("mdds_gateway_delivered_total", "Records written to clients.")
BYTES_OUT = Counter("mdds_gateway_bytes_out_total", "Bytes of frames written to clients.")
DROPPED = Counter("mdds_gateway_dropped_total", "Records not delivered, by reason.", ["reason"])
ERRORS = Counter("mdds_gateway_errors_total", "Error frames and refused handshakes, by code.", ["code"])
CLOSES = Counter("mdds_gateway_closes_total", "Sessions closed by the gateway, by close code.", ["code"])
OPENED = Counter("mdds_gateway_sessions_opened_total", "Sessions opened.")
SESSIONS = Gauge("mdds_gateway_sessions", "Open sessions.")
SLOW_SESSIONS = Gauge("mdds_gateway_slow_sessions", "Sessions that are slow consumers now.")
SUBSCRIPTIONS = Gauge("mdds_gateway_subscriptions", "Streams followed, over all sessions.")
STREAMS = Gauge("mdds_gateway_streams", "Live streams known.")
QUEUED_BYTES = Gauge("mdds_gateway_queued_bytes", "Bytes waiting in outboxes.")
REPEATED = Counter("mdds_gateway_repeated_total", "Records with a number that their stream had passed already.")
RESUMED = Counter("mdds_gateway_resumed_total", "Streams that a client took up where it left them, nothing missing.")
GAPS = Counter("mdds_gateway_gaps_total", "Resumes answered with a gap: the history did not reach back.")
HISTORY_BYTES = Gauge("mdds_gateway_history_bytes", "Bytes kept for resumes, over all streams.")
RAW_MESSAGES = Counter("mdds_gateway_raw_messages_total", "RAW messages taken for the channel raw.")
RAW_RECORDS = Counter("mdds_gateway_raw_records_total", "Records of the channel raw made for its followers.")
RAW_DUPLICATES = Counter("mdds_gateway_raw_duplicates_total", "RAW messages and messages in them that came again.")
RAW_UNFRAMED = Counter("mdds_gateway_raw_unframed_total", "Bytes in RAW that are no message: in no stream.")
RAW_BAD_BLOCKS = Counter("mdds_gateway_raw_bad_blocks_total", "RAW messages that hold no readable block.")
RAW_LOSSES = Counter("mdds_gateway_raw_losses_total", "Losses of RAW, each told to the followers as a gap.")
AGE_S = Histogram(
    "mdds_gateway_parsed_age_seconds",
    "From the publishing of a live PARSED message to its fan-out.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

FLUSH_S = Histogram(
    "mdds_gateway_flush_seconds",
    "What the turns of a flush took together, of flushes that had something.",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1),
)

_PLAIN = {
    "records_in": RECORDS_IN,
    "bytes_in": BYTES_IN,
    "delivered": DELIVERED,
    "sent_bytes": BYTES_OUT,
    "opened": OPENED,
    "repeated": REPEATED,
    "resumed": RESUMED,
    "gaps": GAPS,
}
_RAW = {
    "messages": RAW_MESSAGES,
    "records": RAW_RECORDS,
    "duplicates": RAW_DUPLICATES,
    "unframed": RAW_UNFRAMED,
    "bad_blocks": RAW_BAD_BLOCKS,
    "losses": RAW_LOSSES,
}
# What `dropped` is called, and what it means: unreadable (not a record), duplicate (redelivered), lost (never came),
# refused (bound of streams), conflated, skipped, discarded (queued when the session ended).
DROP_REASONS = (
    "unreadable", "duplicate", "lost", "refused", "conflated", "skipped", "discarded", "unnumbered", "messages_dropped",
)  # fmt: skip


class Carrier:
    """Moves what grew since the last time into the process's counters."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], float] = {}

    def carry(self, counts: Mapping[str, int]) -> None:
        for name, counter in _PLAIN.items():
            counter.inc(self._grown("", name, counts[name]))
        for reason in DROP_REASONS:
            DROPPED.labels(reason).inc(self._grown("drop", reason, counts[reason]))

    def carry_raw(self, counts: Mapping[str, int]) -> None:
        for name, counter in _RAW.items():
            counter.inc(self._grown("raw", name, counts[name]))

    def carry_by_label(self, counter: Counter, counts: Mapping[str, int]) -> None:
        for label, count in counts.items():
            counter.labels(label).inc(self._grown(str(counter), label, count))

    def _grown(self, kind: str, name: str, count: float) -> float:
        grown = max(0, count - self._before.get((kind, name), 0))
        self._before[(kind, name)] = count
        return grown
