"""`/replays`: a subscriber's own replays, through the calls that the portal makes."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from ninja import Query, Router, Schema

from feeds.models import Feed, Instrument
from replay import jobs, states, tasks
from replay.models import ReplayJob
from replay.submission import ReplayRefused, ReplayRequest, submit_for, unix_ns
from subscriptions.api import cursors
from subscriptions.api.edges import edges
from subscriptions.api.errors import ApiError
from subscriptions.api.keys import grant_of, require_key, require_scope
from subscriptions.models import Subscriber
from subscriptions.protocol import SYMBOLS_MAX

ROWS_MAX = 200

router = Router(tags=["replays"])


class ReplayAsked(Schema):
    start: datetime
    end: datetime
    speed: float = 1.0
    feed: str | None = None
    symbols: list[str] = []
    paused: bool = False


class ReplayRow(Schema):
    id: int
    origin: str
    feed: str
    symbols: list[str]
    start: datetime
    end: datetime
    speed: float
    state: str
    messages_sent: int
    messages_estimate: int
    at: datetime | None
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str


class ReplayPage(Schema):
    replays: list[ReplayRow]
    next: str | None


class ListQuery(Schema):
    state: str | None = None
    limit: int = 50
    cursor: str | None = None


class SeekAsked(Schema):
    to: datetime


@router.post("/replays", response={201: ReplayRow}, summary="Replay a range")
def submit(request: HttpRequest, asked: ReplayAsked) -> ReplayRow:
    """Follow it on a socket: `{"op":"sub",…,"origin":"replay:<id>"}`. The feed is named, or the one of the symbols.
    With `paused` it waits for its followers, until `resume`."""
    grant = require_scope(require_key(grant_of(request)), "replay")
    wanted = ReplayRequest(_feed(asked), _aware(asked.start), _aware(asked.end), asked.speed, tuple(asked.symbols))
    owner = _owner(grant.subscriber_id)
    try:
        job = submit_for(wanted, owner, data_dir=edges().data_dir, now=timezone.now())
    except ReplayRefused as refusal:
        raise ApiError(refusal.code, str(refusal)) from None
    if not asked.paused:
        tasks.enqueue(job)
    elif jobs.pause(job.pk):
        job.refresh_from_db()
    return _row(job)


@router.get("/replays", response=ReplayPage, summary="Mine, the newest first")
def listing(request: HttpRequest, query: Query[ListQuery]) -> ReplayPage:
    rows = _mine(request)
    if not 1 <= query.limit <= ROWS_MAX:
        raise ApiError("BAD_PARAM", f"limit: expected 1 to {ROWS_MAX}, got {query.limit}")
    if query.state is not None:
        if query.state not in states.ALL:
            raise ApiError("BAD_PARAM", f"state: expected one of {', '.join(states.ALL)}")
        rows = rows.filter(state=query.state)
    if query.cursor is not None:
        (before,) = cursors.decode(query.cursor, int)
        rows = rows.filter(pk__lt=before)
    found = list(rows.order_by("-pk")[: query.limit + 1])
    page = found[: query.limit]
    following = cursors.encode(page[-1].pk) if len(found) > query.limit else None
    return ReplayPage(replays=[_row(job) for job in page], next=following)


@router.get("/replays/{job_id}", response=ReplayRow, summary="One of mine")
def one(request: HttpRequest, job_id: int) -> ReplayRow:
    return _row(_job(request, job_id))


@router.delete("/replays/{job_id}", response=ReplayRow, summary="Cancel")
def cancel(request: HttpRequest, job_id: int) -> ReplayRow:
    """CONFLICT when it has ended, or is being cancelled already."""
    _job(request, job_id)
    if not jobs.cancel(job_id, now=timezone.now()):
        raise ApiError("CONFLICT", f"replay {job_id} has ended, or its cancel was asked for before")
    return _row(_job(request, job_id))


@router.post("/replays/{job_id}/pause", response=ReplayRow, summary="Pause")
def pause(request: HttpRequest, job_id: int) -> ReplayRow:
    _job(request, job_id)
    if not jobs.pause(job_id):
        raise ApiError("CONFLICT", f"replay {job_id} is not under way")
    return _row(_job(request, job_id))


@router.post("/replays/{job_id}/resume", response=ReplayRow, summary="Go on after a pause")
def resume(request: HttpRequest, job_id: int) -> ReplayRow:
    _job(request, job_id)
    if not jobs.resume(job_id):
        raise ApiError("CONFLICT", f"replay {job_id} is not paused")
    tasks.send_again(job_id)
    return _row(_job(request, job_id))


@router.post("/replays/{job_id}/seek", response=ReplayRow, summary="Go on from another moment of the range")
def seek(request: HttpRequest, job_id: int, asked: SeekAsked) -> ReplayRow:
    """What follows is of a new epoch, so that nothing of it is taken for a repetition."""
    job, to_at = _job(request, job_id), _aware(asked.to)
    if not job.from_at <= to_at < job.to_at:
        raise ApiError("BAD_PARAM", f"to: expected a moment of [{job.from_at:%H:%M:%S}, {job.to_at:%H:%M:%S})")
    if not jobs.seek(job_id, unix_ns(to_at)):
        raise ApiError("CONFLICT", f"replay {job_id} has ended")
    if _job(request, job_id).state == states.QUEUED:
        tasks.send_again(job_id)
    return _row(_job(request, job_id))


def _owner(subscriber_id: int) -> Subscriber:
    owner = Subscriber.objects.filter(pk=subscriber_id).first()
    if owner is None:
        raise ApiError("NOT_ENTITLED", "replays belong to subscribers; operators have the portal")
    return owner


def _mine(request: HttpRequest) -> QuerySet[ReplayJob]:
    grant = require_scope(require_key(grant_of(request)), "replay")
    return ReplayJob.objects.filter(subscriber_id=grant.subscriber_id).select_related("feed")


def _job(request: HttpRequest, job_id: int) -> ReplayJob:
    """NOT_FOUND for another subscriber's too: nobody learns which ids exist."""
    job = _mine(request).filter(pk=min(job_id, 2**62)).first()
    if job is None:
        raise ApiError("NOT_FOUND", f"you have no replay {job_id}")
    return job


def _feed(asked: ReplayAsked) -> Feed:
    if len(asked.symbols) > SYMBOLS_MAX:
        raise ApiError("BAD_PARAM", f"symbols: at most {SYMBOLS_MAX}")
    if asked.feed is not None:
        feed = Feed.objects.filter(name=asked.feed).first()
        if feed is None:
            raise ApiError("BAD_PARAM", f"feed: there is no {asked.feed[:40]!r}")
        return feed
    found = feed_of(asked.symbols)
    if found is None:
        raise ApiError("BAD_PARAM", "feed: expected a feed, or symbols of one feed")
    return found


def feed_of(symbols: list[str]) -> Feed | None:
    """The one feed that carries all of these instruments; None when there is none."""
    rows = Instrument.objects.filter(ticker__in=symbols).values_list("ticker", "market")
    if not symbols or {ticker for ticker, _ in rows} != set(symbols):
        return None
    for feed in Feed.objects.order_by("pk"):
        carried = {ticker for ticker, market in rows if market in feed.markets}
        if carried == set(symbols):
            return feed
    return None


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _row(job: ReplayJob) -> ReplayRow:
    at_ns = job.current_ns
    return ReplayRow(
        id=job.pk,
        origin=job.origin,
        feed=job.feed.name,
        symbols=job.symbols,
        start=job.from_at,
        end=job.to_at,
        speed=job.speed,
        state="cancelling" if job.cancel_requested and job.active else job.state,
        messages_sent=job.messages_sent,
        messages_estimate=job.messages_total_estimate,
        at=None if at_ns is None else datetime.fromtimestamp(at_ns // 1_000_000_000, UTC),
        submitted_at=job.submitted_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        error=job.error,
    )
