"""The status page's tables: feeds, workers, types, drops and sessions, from one sample.  [pure]"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from portal import quantities
from portal.picture import Sample
from portal.readings import AMBER, GREEN, GREY, RED, flatten, worst

SYMBOLS_SHOWN = 4  # of one subscription
SESSIONS_MAX = 200  # rows sent to the page each second; the rest is counted


@dataclass(frozen=True, slots=True)
class FeedName:
    """A feed as configured."""

    name: str
    markets: str
    enabled: bool
    lines: tuple[tuple[str, str], ...]  # (name, "group:port")


@dataclass(frozen=True, slots=True)
class LineRow:
    """One line of a feed: what it carries now."""

    name: str
    address: str
    rate: str
    total: str
    light: str


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One feed, its two lines and what is wrong with it, in words."""

    name: str
    markets: str
    light: str
    state: str
    lines: tuple[LineRow, ...]

    @property
    def lines_light(self) -> str:
        """The worst of its lines."""
        return worst(line.light for line in self.lines)


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker process. `stats` are all its numbers, whatever they are called."""

    kind: str
    name: str
    host: str
    pid: int
    light: str
    seen: str
    started_at: datetime
    stats: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ShareRow:
    """A labelled total with its rate; `percent` of the largest."""

    label: str
    total: str
    rate: str
    percent: float


@dataclass(frozen=True, slots=True)
class DropRow:
    """A loss: where, why, how many, and whether it goes on."""

    stage: str
    reason: str
    total: str
    rate: str
    current: bool


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One client's session, as the gateway tells it."""

    session: str
    subscriber: str
    key: str
    address: str
    subscriptions: str
    streams: str
    records: str
    queued: str
    state: str
    light: str


def feed_rows(sample: Sample, feeds: Iterable[FeedName]) -> list[FeedRow]:
    """One row per configured feed."""
    return [_feed_row(sample, feed) for feed in feeds]


def _feed_row(sample: Sample, feed: FeedName) -> FeedRow:
    rates = {name: sample.rate("capture", "datagrams_total", f"{feed.name}.{name}") for name, _address in feed.lines}
    totals = {name: sample.total("capture", "datagrams_total", f"{feed.name}.{name}") for name, _address in feed.lines}
    flowing = any(rates.values())
    lines = tuple(
        LineRow(
            name,
            address,
            quantities.rate(rates[name]),
            quantities.count(totals[name]),
            GREEN if rates[name] else AMBER if flowing else GREY,
        )
        for name, address in feed.lines
    )
    light, state = _feed_state(sample, feed, rates)
    return FeedRow(feed.name, feed.markets, light, state, lines)


def _feed_state(sample: Sample, feed: FeedName, rates: Mapping[str, float]) -> tuple[str, str]:
    if not feed.enabled:
        return GREY, "disabled"
    if not feed.lines:
        return RED, "has no line"
    capture = sample.light("capture")
    if capture == GREY:
        return RED, "no capture runs"
    if capture == RED:
        return RED, "capture is silent"
    state = publisher_state(sample, feed.name)
    if state is not None:
        return STATE_LIGHTS.get(state, AMBER), state
    dead = [name for name, rate in rates.items() if not rate]
    if not dead:
        return GREEN, "live"
    if len(dead) == len(rates):
        return AMBER, "quiet: nothing arrives"
    return AMBER, f"line {', '.join(dead)} is silent"


# The publisher's word for a feed (feeds/capture/feed_state.py), as a light.
STATE_LIGHTS = {"live": GREEN, "closed": GREY, "failover": AMBER, "gap": AMBER, "suspect": AMBER, "stale": RED}


def publisher_state(sample: Sample, feed: str) -> str | None:
    """The state of a feed as a publisher that is alive tells it; of several the most alarming."""
    told = [one.at("feeds", feed, "state") for one in sample.of_kind("publisher") if one.light(sample.now) != RED]
    states = [state for state in told if isinstance(state, str)]
    order = {RED: 3, AMBER: 2, GREEN: 1, GREY: 0}
    return max(states, key=lambda state: order[STATE_LIGHTS.get(state, AMBER)], default=None)


def worker_rows(sample: Sample) -> list[WorkerRow]:
    """One row per worker, in the order of the path."""
    rows = []
    for reading in sorted(sample.readings, key=lambda one: (_place(one.kind), one.name, one.host)):
        age = quantities.duration(reading.age_s(sample.now))
        numbers = tuple(
            (".".join(path), f"{value:,.3f}".rstrip("0").rstrip(".")) for path, value in flatten(reading.stats)
        )
        rows.append(
            WorkerRow(
                reading.kind, reading.name, reading.host, reading.pid, reading.light(sample.now),
                "stopped" if reading.stopped_at else f"{age} ago", reading.started_at, numbers,
            )
        )  # fmt: skip
    return rows


_ORDER = ("simulator", "capture", "publisher", "parser", "gateway")


def _place(kind: str) -> tuple[int, str]:
    return (_ORDER.index(kind), kind) if kind in _ORDER else (len(_ORDER), kind)


def type_rows(sample: Sample) -> list[ShareRow]:
    """Parsed messages by type, most first."""
    totals: defaultdict[str, float] = defaultdict(float)
    for reading in sample.of_kind("parser"):
        for path, value in flatten(reading.at("parsed")):
            totals[".".join(path)] += value
    largest = max(totals.values(), default=0.0) or 1.0
    return [
        ShareRow(
            label or "all",
            quantities.count(total),
            quantities.rate(sample.rate("parser", "parsed", *label.split(".")) if label else None),
            round(100 * total / largest, 1),
        )
        for label, total in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    ]


# Where losses are counted: kind, path in its stats, what to call it (None: the names below the path are the reasons).
_DROPS: tuple[tuple[str, tuple[str, ...], str | None], ...] = (
    ("capture", ("kernel_drops",), "kernel buffer full"),
    ("publisher", ("missing",), "missing on both lines"),
    ("publisher", ("late",), "late: filled a declared gap"),
    ("parser", ("dead_by_reason",), "dead letter"),
    ("parser", ("unrouted_by_type",), "no router for the type"),
    ("parser", ("bad_blocks",), "block that cannot be read"),
    ("capture", ("write_failures",), "journal could not be written"),
    ("gateway", ("dropped",), None),
    ("gateway", ("skipped",), "skipped for a slow client"),
    ("gateway", ("discarded",), "discarded with its session"),
    ("gateway", ("lost",), "lost before the gateway"),
    ("gateway", ("messages_dropped",), "no room for the message"),
    ("gateway", ("unreadable",), "unreadable record"),
    ("gateway", ("conflated",), "conflated: replaced by a newer image"),
)


def drop_rows(sample: Sample) -> list[DropRow]:
    """Every loss that has happened since the workers started, by stage and reason."""
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for kind, path, label in _DROPS:
        for reading in sample.of_kind(kind):
            for below, value in flatten(reading.at(*path), path):
                reason = label or ".".join(below[len(path) :]) or "dropped"
                if label and len(below) > len(path):
                    reason = f"{label}: {'.'.join(below[len(path) :])}"
                found[kind, reason][0] += value
                found[kind, reason][1] += sample.rate_of(reading, *below)
    return [
        DropRow(
            kind,
            reason.replace("_", " "),
            quantities.count(total),
            quantities.rate(rate),
            rate > 0 and not reason.startswith("conflated"),
        )
        for (kind, reason), (total, rate) in found.items()
        if total
    ]


def session_rows(sample: Sample) -> tuple[list[SessionRow], int]:
    """The clients' sessions, those with the fullest outbox first, at most SESSIONS_MAX; and how many there are."""
    sessions = [one for one in _sessions(sample) if isinstance(one, Mapping)]
    sessions.sort(key=lambda one: (-_integer(_first(one, "queued_bytes", "buffered_bytes", "queued")), str(one)))
    return [_session_row(one) for one in sessions[:SESSIONS_MAX]], len(sessions)


def _sessions(sample: Sample) -> list[object]:
    found: list[object] = []
    for reading in sample.of_kind("gateway"):
        listed = reading.at("sessions")
        if isinstance(listed, Sequence) and not isinstance(listed, str):
            found.extend(listed)
    return found


def _session_row(session: Mapping[str, object]) -> SessionRow:
    return SessionRow(
        session=_text(_first(session, "session", "id")),
        subscriber=_text(_first(session, "subscriber")),
        key=_text(_first(session, "key_id", "key")),
        address=_text(_first(session, "address", "peer")),
        subscriptions=_subscriptions(_first(session, "subscriptions")),
        streams=_text(_first(session, "streams")),
        records=quantities.count(_integer(_first(session, "sent_records", "records_out", "records"))),
        queued=quantities.size(_integer(_first(session, "queued_bytes", "buffered_bytes", "queued"))),
        state=_text(_first(session, "state")),
        light=AMBER if session.get("state") == "slow" else GREEN,
    )


def _subscriptions(value: object) -> str:
    """`trade FPT, VNM · depth FPT of replay:12`; a number stays a number."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return _text(value)
    return " · ".join(_subscription(one) if isinstance(one, Mapping) else str(one) for one in value) or "none"


def _subscription(one: Mapping[str, object]) -> str:
    named = one.get("symbols")
    symbols = [str(name) for name in named] if isinstance(named, Sequence) and not isinstance(named, str) else []
    shown = ", ".join(symbols[:SYMBOLS_SHOWN])
    more = max(_integer(one.get("count")), len(symbols)) - min(len(symbols), SYMBOLS_SHOWN)
    text = f"{one.get('ch', '')} {shown}" + (f" and {more} more" if more else "")
    return text if one.get("origin") in (None, "live") else f"{text} of {one['origin']}"


def _first(session: Mapping[str, object], *names: str) -> object:
    return next((session[name] for name in names if session.get(name) is not None), None)


def _text(value: object) -> str:
    return "–" if value in (None, "") else str(value)


def _integer(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
