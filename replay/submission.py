"""Takes the request for a replay: checks it, estimates it, stores it as a submitted job."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import QuerySet

from feeds.journal import JournalReader
from feeds.journal.segments import START
from feeds.models import Feed, Instrument
from replay import states
from replay.estimate import Estimate, estimate
from replay.limits import DEFAULT_LIMITS, ReplayLimits
from replay.models import ReplayJob
from subscriptions.models import Subscriber

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

# A session begins when its first message comes: a start up to this much earlier is still within reach.
REACH_NS = 3_600 * 1_000_000_000
FIRST_BYTES = 64 * 1024
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class ReplayRefused(Exception):
    """The request cannot be granted; `field` names the part of it, the text says what was found and expected, `code`
    is the protocol's."""

    def __init__(self, field: str, reason: str, *, code: str = "BAD_PARAM") -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.code = code


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What is asked for: [from_at, to_at) of a feed's journal at a speed; of `symbols` only, where there are any."""

    feed: Feed
    from_at: datetime
    to_at: datetime
    speed: float
    symbols: tuple[str, ...] = ()


def unix_ns(at: datetime) -> int:
    """Nanoseconds since 1970, exact (a float would be off by up to 200 ns)."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def check(request: ReplayRequest, *, now: datetime, limits: ReplayLimits = DEFAULT_LIMITS) -> None:
    """Raise ReplayRefused when the request is outside the limits."""
    if request.to_at <= request.from_at:
        raise ReplayRefused(
            "to", f"must be after from: found {_clock(request.to_at)}, and from is {_clock(request.from_at)}"
        )
    if request.to_at > now + timedelta(seconds=1):
        raise ReplayRefused("to", f"lies in the future: found {_clock(request.to_at)}, and it is {_clock(now)}")
    length_s = (request.to_at - request.from_at).total_seconds()
    if length_s > limits.range_s_max:
        raise ReplayRefused(
            "to", f"the range may be {limits.range_s_max / 3600:g} h long at most, found {length_s / 3600:.1f} h"
        )
    if not (math.isfinite(request.speed) and 0 <= request.speed <= limits.speed_max):
        raise ReplayRefused(
            "speed", f"expected 0 (as fast as possible) to {limits.speed_max:g}, found {request.speed:g}"
        )


def estimate_request(request: ReplayRequest, *, data_dir: Path) -> Estimate:
    """What the range holds."""
    folder = data_dir / "journal" / request.feed.name
    return estimate(folder, from_ns=unix_ns(request.from_at), to_ns=unix_ns(request.to_at))


def submit(
    request: ReplayRequest,
    *,
    user: AbstractBaseUser,
    data_dir: Path,
    now: datetime,
    limits: ReplayLimits = DEFAULT_LIMITS,
) -> ReplayJob:
    """Store an operator's request as a submitted job. ReplayRefused: it is outside the limits, or there is nothing to
    replay."""
    check(request, now=now, limits=limits)
    expected = estimate_request(request, data_dir=data_dir)
    if not expected.datagrams:
        found = f"nothing from {_clock(request.from_at)} to {_clock(request.to_at)}"
        raise ReplayRefused("from", f"the journal of {request.feed.name} holds {found}", code="REPLAY_AGED_OUT")
    with transaction.atomic():
        # The user's row is the lock: two submissions at once are counted one after the other.
        get_user_model().objects.select_for_update().get(pk=user.pk)
        _make_room(ReplayJob.objects.filter(submitted_by_id=user.pk), limits)
        return _create(request, expected, now=now, submitted_by_id=user.pk)


def submit_for(
    request: ReplayRequest,
    subscriber: Subscriber,
    *,
    data_dir: Path,
    now: datetime,
    private: bool = False,
    then_live: bool = False,
) -> ReplayJob:
    """Store a client's request; `private`: it belongs to one session, which has to watch it (`jobs.watch`).

    ReplayRefused: outside the limits, or further back than the journal reaches. A range without a message that the
    journal does reach is granted: its end comes at once.
    """
    check(request, now=now)
    oldest_ns = first_received_ns(data_dir / "journal" / request.feed.name)
    if oldest_ns is None or unix_ns(request.from_at) + REACH_NS < oldest_ns:
        reach = "is empty" if oldest_ns is None else f"reaches back to {_clock(_at(oldest_ns))}"
        raise ReplayRefused("start", f"the journal of {request.feed.name} {reach}", code="REPLAY_AGED_OUT")
    expected = estimate_request(request, data_dir=data_dir)
    with transaction.atomic():
        Subscriber.objects.select_for_update().get(pk=subscriber.pk)
        _make_room(ReplayJob.objects.filter(subscriber=subscriber), DEFAULT_LIMITS)
        watched_at = now if private else None
        return _create(request, expected, now=now, subscriber=subscriber, watched_at=watched_at, then_live=then_live)


def first_received_ns(folder: Path) -> int | None:
    """When the oldest datagram that is kept was received; None for an empty journal."""
    reader = JournalReader(folder)
    try:
        blocks, _ = reader.read(START, FIRST_BYTES)
    finally:
        reader.close()
    return min((entry[0] for block in blocks for entry in block.entries), default=None)


def _make_room(jobs: QuerySet[ReplayJob], limits: ReplayLimits) -> None:
    active = jobs.filter(state__in=states.ACTIVE).count()
    if active >= limits.jobs_per_user_max:
        words = f"you have {active} replays under way, {limits.jobs_per_user_max} are allowed; cancel one first"
        raise ReplayRefused("feed", words, code="SESSION_LIMIT")


def _create(request: ReplayRequest, expected: Estimate, *, now: datetime, **owner: object) -> ReplayJob:
    isins = Instrument.objects.filter(ticker__in=request.symbols, market__in=request.feed.markets)
    found = dict(isins.values_list("ticker", "isin"))
    whole = any(symbol not in found for symbol in request.symbols)  # a board, an index: no message names its ISIN
    return ReplayJob.objects.create(
        feed=request.feed,
        from_at=request.from_at,
        to_at=request.to_at,
        speed=request.speed,
        symbols=list(request.symbols),
        isins=[] if whole else sorted(found.values()),
        submitted_at=now,
        messages_total_estimate=expected.messages,
        bytes_total_estimate=expected.bytes,
        **owner,
    )


def _at(at_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_ns // 1000)


def _clock(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")
