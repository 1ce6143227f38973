"""The life of a replay job: each step a conditional update, where 0 rows mean that somebody else has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from replay import states
from replay.checkpoints import Progress
from replay.models import ReplayJob

# A running job without a sign of life for this long has lost its worker. The player reports twice a second.
STALE_AFTER = timedelta(seconds=15)
# A submitted job that did not reach the queue in this time was submitted while the broker was down.
UNSENT_AFTER = timedelta(seconds=10)
ERROR_CHARACTERS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Claim:
    """A job held by one worker: the key of every later step. A second claim makes the first one void."""

    job_id: int
    worker: str


def mark_queued(job_id: int) -> bool:
    """submitted → queued: the queue has it."""
    return bool(ReplayJob.objects.filter(pk=job_id, state=states.SUBMITTED).update(state=states.QUEUED))


def unqueue(job_id: int, *, now: datetime) -> bool:
    """queued → submitted: the queue did not take it; `lost` finds it again after a while."""
    return bool(
        ReplayJob.objects.filter(pk=job_id, state=states.QUEUED).update(state=states.SUBMITTED, submitted_at=now)
    )


def claim(job_id: int, *, worker: str, now: datetime) -> Claim | None:
    """Take a waiting job, or a running one whose worker is silent. None: it is held, or it has ended."""
    taken = (
        ReplayJob.objects.filter(pk=job_id, cancel_requested=False)
        .filter(Q(state__in=states.WAITING) | Q(state=states.RUNNING, seen_at__lt=now - STALE_AFTER))
        .update(
            state=states.RUNNING,
            worker=worker,
            seen_at=now,
            started_at=Coalesce("started_at", now),
            claims=F("claims") + 1,
        )
    )
    return Claim(job_id, worker) if taken else None


def checkpoint(claimed: Claim, progress: Progress, *, now: datetime) -> bool:
    """Write the progress. False: stop, a cancel is asked for or the job is no longer ours."""
    held = ReplayJob.objects.filter(pk=claimed.job_id, worker=claimed.worker, state=states.RUNNING)
    written = held.update(
        position=progress.checkpoint.as_json() if progress.checkpoint else None,
        current_ns=progress.current_ns,
        messages_sent=progress.messages_sent,
        seen_at=now,
    )
    return bool(written) and not held.filter(cancel_requested=True).exists()


def finish(claimed: Claim, state: str, *, now: datetime, error: str = "") -> bool:
    """running → one of the end states, with the reason when it failed. False: it is no longer ours."""
    if not states.may_follow(states.RUNNING, state) or state not in states.ENDED:
        raise ValueError(f"state: expected one of {', '.join(states.ENDED)}, found {state}")
    return bool(
        ReplayJob.objects.filter(pk=claimed.job_id, worker=claimed.worker, state=states.RUNNING).update(
            state=state, finished_at=now, error=error[:ERROR_CHARACTERS_MAX]
        )
    )


def release(claimed: Claim) -> bool:
    """running → queued: the worker stops in good order; the next one goes on from the checkpoint."""
    held = ReplayJob.objects.filter(pk=claimed.job_id, worker=claimed.worker, state=states.RUNNING)
    return bool(held.update(state=states.QUEUED, worker="", seen_at=None))


def cancel(job_id: int, *, now: datetime) -> bool:
    """Cancel a waiting job at once; ask a running one to stop. False: it has ended, or was asked before.

    A running job whose worker is lost is cancelled at once too: nobody is there to hear the request.
    """
    with transaction.atomic():
        job = ReplayJob.objects.filter(pk=job_id)
        unheard = Q(state__in=states.WAITING) | Q(state=states.RUNNING, seen_at__lt=now - STALE_AFTER)
        if job.filter(unheard).update(state=states.CANCELLED, cancel_requested=True, finished_at=now):
            return True
        return bool(job.filter(state=states.RUNNING, cancel_requested=False).update(cancel_requested=True))


def lost(*, now: datetime) -> list[int]:
    """Jobs that nobody works on though they are not ended, put back to the queue's door, oldest first.

    Those whose cancel was asked for are cancelled. Each id is returned to one caller only: send it to the queue.
    """
    silent = Q(state=states.RUNNING, seen_at__lt=now - STALE_AFTER)
    unsent = Q(state=states.SUBMITTED, submitted_at__lt=now - UNSENT_AFTER)
    ReplayJob.objects.filter(silent, cancel_requested=True).update(state=states.CANCELLED, finished_at=now)
    found: list[int] = []
    for job_id in ReplayJob.objects.filter(silent | unsent).order_by("id").values_list("id", flat=True):
        if ReplayJob.objects.filter(silent | unsent, pk=job_id).update(state=states.QUEUED, worker="", seen_at=None):
            found.append(job_id)
    return found


def queued() -> list[int]:
    """Jobs that a queue should hold: a worker with a queue of its own memory sends them again at its start."""
    return list(ReplayJob.objects.filter(state=states.QUEUED).order_by("id").values_list("id", flat=True))
