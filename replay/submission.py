"""Takes the request for a replay: checks it, estimates it, stores it as a submitted job."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import transaction

from feeds.models import Feed
from replay import states
from replay.estimate import Estimate, estimate
from replay.limits import DEFAULT_LIMITS, ReplayLimits
from replay.models import ReplayJob

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class ReplayRefused(Exception):
    """The request cannot be granted; `field` names the part of it, the text says what was found and expected."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What an operator asks for: [from_at, to_at) of a feed's journal at a speed. A target joins it later."""

    feed: Feed
    from_at: datetime
    to_at: datetime
    speed: float


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
    """Store the request as a submitted job. ReplayRefused: it is outside the limits, or there is nothing to replay."""
    check(request, now=now, limits=limits)
    expected = estimate_request(request, data_dir=data_dir)
    if not expected.datagrams:
        found = f"nothing from {_clock(request.from_at)} to {_clock(request.to_at)}"
        raise ReplayRefused("from", f"the journal of {request.feed.name} holds {found}")
    with transaction.atomic():
        # The user's row is the lock: two submissions at once are counted one after the other.
        get_user_model().objects.select_for_update().get(pk=user.pk)
        active = ReplayJob.objects.filter(submitted_by_id=user.pk, state__in=states.ACTIVE).count()
        if active >= limits.jobs_per_user_max:
            raise ReplayRefused(
                "feed", f"you have {active} replays under way, {limits.jobs_per_user_max} are allowed; cancel one first"
            )
        return ReplayJob.objects.create(
            feed=request.feed,
            from_at=request.from_at,
            to_at=request.to_at,
            speed=request.speed,
            submitted_by_id=user.pk,
            submitted_at=now,
            messages_total_estimate=expected.messages,
            bytes_total_estimate=expected.bytes,
        )


def _clock(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")
