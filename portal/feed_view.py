"""One feed as its page shows it: state, line A against line B, gaps with ranges and times, and the day's history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from feeds.calendar_rows import calendar_of
from feeds.models import Feed, FeedEvent
from portal import quantities
from portal.picture import Sample
from portal.readings import GREY
from portal.tables import STATE_LIGHTS, publisher_state

CHART = timedelta(hours=24)
GAPS_MAX, EVENTS_MAX = 50, 100
SPANS_MAX = 500  # of the chart; an hour of flicker is one colour there anyway
WIDTH = 1_000  # of the chart, in its own units
NOTHING = "–"

# What the two lines are compared by: a label, and the path in the publisher's figures below the feed.
LINE_FIGURES: tuple[tuple[str, tuple[str, ...], bool], ...] = (
    ("received", ("lines", "{}", "received"), False),
    ("first", ("lines", "{}", "first"), False),
    ("duplicate", ("lines", "{}", "duplicate"), False),
    ("late", ("lines", "{}", "late"), False),
    ("missing", ("line_missing", "{}"), True),
    ("disagreed", ("lines", "{}", "disagreed"), True),
    ("unframed", ("lines", "{}", "unframed"), True),
    ("heartbeats", ("lines", "{}", "heartbeats"), False),
)


@dataclass(frozen=True, slots=True)
class LineFigure:
    """One row of A against B."""

    label: str
    values: tuple[str, ...]
    loss: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the chart in one state."""

    x: float
    width: float
    state: str
    light: str
    since: datetime


@dataclass(frozen=True, slots=True)
class FeedPage:
    """What the page shows."""

    feed: Feed
    light: str
    state: str
    facts: Sequence[tuple[str, str]]
    line_states: Sequence[tuple[str, str, str]]  # name, address, state
    figures: Sequence[LineFigure]
    gaps: Sequence[FeedEvent]
    events: Sequence[FeedEvent]
    spans: Sequence[Span]
    since: datetime


def feed_page(feed: Feed, sample: Sample) -> FeedPage:
    """The page of `feed` at the sample's moment."""
    now_ns = int(sample.now.timestamp() * 1_000_000_000)
    calendar = calendar_of(feed.exchange, feed.markets)
    state = "disabled" if not feed.enabled else publisher_state(sample, feed.name) or "no publisher runs"
    change = calendar.next_change_ns(now_ns)
    lines = list(feed.lines.all())
    since = sample.now - CHART
    return FeedPage(
        feed=feed,
        light=STATE_LIGHTS.get(state, GREY),
        state=state,
        facts=(
            ("Markets", ", ".join(feed.markets)),
            ("Epoch", _text(_told(sample, feed.name, "epoch"))),
            ("Trading session", calendar.phase_at(now_ns).replace("_", " ")),
            ("Next change", _local(change, feed) if change else NOTHING),
            ("Missing on both lines", _count(_told(sample, feed.name, "missing"))),
            ("Gaps", _count(_told(sample, feed.name, "gaps"))),
            ("Resets", _count(_told(sample, feed.name, "resets"))),
            ("Waiting to be put in order", _count(_told(sample, feed.name, "reordering"))),
            ("Suspect streams", quantities.count(sample.total("parser", "suspect", feed.name))),
        ),
        line_states=[
            (line.name, f"{line.group}:{line.port}", _text(_told(sample, feed.name, "line_states", line.name)))
            for line in lines
        ],
        figures=[_figure(sample, feed.name, row, names=[line.name for line in lines]) for row in LINE_FIGURES]
        + [_skew(sample, feed.name, quantile, names=[line.name for line in lines]) for quantile in ("p50", "p99")],
        gaps=list(feed.events.filter(kind__in=("gap", "late_start"))[:GAPS_MAX]),
        events=list(feed.events.exclude(kind="gap")[:EVENTS_MAX]),
        spans=spans(feed, since, sample.now),
        since=since,
    )


def spans(feed: Feed, since: datetime, until: datetime) -> list[Span]:
    """The states from `since` to `until`, as stretches of the chart."""
    states = feed.events.filter(kind="state")
    before = states.filter(at__lte=since).first()
    changes = [(since, before.state)] if before is not None else []
    changes += [(row.at, row.state) for row in reversed(states.filter(at__gt=since, at__lte=until)[:SPANS_MAX])]
    scale = WIDTH / (until - since).total_seconds()
    ends = [*(at for at, _state in changes), until][1:]
    return [
        Span(
            round((at - since).total_seconds() * scale, 2),
            round(max((end - at).total_seconds() * scale, 0.5), 2),
            state,
            STATE_LIGHTS.get(state, GREY),
            at,
        )
        for (at, state), end in zip(changes, ends, strict=True)
    ]


def _told(sample: Sample, feed: str, *path: str) -> object:
    """What the first publisher that knows says."""
    told = (one.at("feeds", feed, *path) for one in sample.of_kind("publisher"))
    return next((value for value in told if value is not None), None)


def _figure(sample: Sample, feed: str, row: tuple[str, tuple[str, ...], bool], *, names: Sequence[str]) -> LineFigure:
    label, path, loss = row
    values = [_told(sample, feed, *(part.format(name) for part in path)) for name in names]
    return LineFigure(label, tuple(_count(value) for value in values), loss and any(values))


def _skew(sample: Sample, feed: str, quantile: str, *, names: Sequence[str]) -> LineFigure:
    values = [_told(sample, feed, "skew_us", name, quantile) for name in names]
    shown = tuple(f"{value:,.0f} µs" if isinstance(value, int | float) else NOTHING for value in values)
    return LineFigure(f"later than the other, {quantile}", shown, False)


def _count(value: object) -> str:
    return quantities.count(value) if isinstance(value, int | float) else NOTHING


def _text(value: object) -> str:
    return NOTHING if value in (None, "") else str(value)


def _local(ns: int, feed: Feed) -> str:
    return f"{datetime.fromtimestamp(ns // 1_000_000_000, ZoneInfo(feed.exchange.timezone)):%a %H:%M}"
