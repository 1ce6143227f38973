"""The life of a replay job: each step a conditional update, where 0 rows mean that somebody else has it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from feeds.records import epoch_number
from replay import states
from replay.checkpoints import Checkpoint, Progress
from replay.models import ReplayJob

# A running job without a sign of life for this long has lost its worker. The player reports twice a second.
STALE_AFTER = timedelta(seconds=15)
# A submitted job that did not reach the queue in this time was submitted while the broker was down.
UNSENT_AFTER = timedelta(seconds=10)
# A session's own replay that its gateway has not asked for in this time: the gateway is gone, and its client with it.
UNWATCHED_AFTER = timedelta(seconds=60)
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
    unwatched = Q(watched_at__lt=now - UNWATCHED_AFTER)
    if held.filter(unwatched, cancel_requested=False).update(cancel_requested=True):
        return False
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
        unheard = Q(state__in=(*states.WAITING, states.PAUSED)) | Q(state=states.RUNNING, seen_at__lt=now - STALE_AFTER)
        if job.filter(unheard).update(state=states.CANCELLED, cancel_requested=True, finished_at=now):
            return True
        return bool(job.filter(state=states.RUNNING, cancel_requested=False).update(cancel_requested=True))


def pause(job_id: int) -> bool:
    """Take the job from its worker, which stops within half a second; it keeps its checkpoint. False: not under way."""
    playing = ReplayJob.objects.filter(pk=job_id, state__in=states.states_before(states.PAUSED), cancel_requested=False)
    return bool(playing.update(state=states.PAUSED, worker="", seen_at=None))


def resume(job_id: int) -> bool:
    """paused → queued: send it to the queue then. False: it is not paused."""
    paused = ReplayJob.objects.filter(pk=job_id, state=states.PAUSED, cancel_requested=False)
    return bool(paused.update(state=states.QUEUED))


def put_aside(claimed: Claim) -> bool:
    """running → paused at the end of its range, for a job that goes on live; False: it does not, or is not ours."""
    held = ReplayJob.objects.filter(pk=claimed.job_id, worker=claimed.worker, state=states.RUNNING, then_live=True)
    return bool(held.update(state=states.PAUSED, worker="", seen_at=None))


def extend(job_id: int, to_at: datetime) -> bool:
    """paused → queued, to a new end, as fast as it goes. False: it was not put aside (yet). Send it to the queue."""
    aside = ReplayJob.objects.filter(pk=job_id, state=states.PAUSED, then_live=True, cancel_requested=False)
    return bool(aside.update(state=states.QUEUED, to_at=to_at, speed=0, then_live=False))


def seek(job_id: int, to_ns: int) -> bool:
    """Go on from another moment of the range, in a new epoch: taken from its worker; queued, or paused as before.

    False: it has ended, or a cancel is asked for. Send it to the queue then, unless it is paused.
    """
    with transaction.atomic():
        job = ReplayJob.objects.select_for_update().filter(pk=job_id, state__in=states.ACTIVE, cancel_requested=False)
        row = job.first()
        if row is None:
            return False
        before = Checkpoint.from_json(row.position) if row.position else None
        # One more than is known: the player may have met a reset since its checkpoint.
        epoch = before.epoch + 1 if before is not None else _epoch_after(row)
        start = Checkpoint.at_seek(to_ns, epoch=epoch, messages_sent=row.messages_sent)
        state = states.PAUSED if row.state == states.PAUSED else states.QUEUED
        return bool(
            ReplayJob.objects.filter(pk=job_id).update(
                state=state, worker="", seen_at=None, seek_ns=to_ns, current_ns=to_ns, position=start.as_json()
            )
        )


def _epoch_after(row: ReplayJob) -> int:
    """Above every epoch that a player without a checkpoint may have sent: the day after the range, in any time zone."""
    return epoch_number(int(f"{row.to_at + timedelta(days=1):%Y%m%d}"))


def watch(job_ids: Iterable[int], *, now: datetime) -> None:
    """A gateway follows these private jobs for sessions of its own."""
    ReplayJob.objects.filter(pk__in=list(job_ids)).update(watched_at=now)


def lost(*, now: datetime) -> list[int]:
    """Jobs that nobody works on though they are not ended, put back to the queue's door, oldest first.

    Those whose cancel was asked for are cancelled. Each id is returned to one caller only: send it to the queue.
    """
    silent = Q(state=states.RUNNING, seen_at__lt=now - STALE_AFTER)
    unsent = Q(state=states.SUBMITTED, submitted_at__lt=now - UNSENT_AFTER)
    ReplayJob.objects.filter(silent, cancel_requested=True).update(state=states.CANCELLED, finished_at=now)
    unwatched = Q(watched_at__lt=now - UNWATCHED_AFTER, state__in=(*states.WAITING, states.PAUSED))
    ReplayJob.objects.filter(unwatched).update(state=states.CANCELLED, cancel_requested=True, finished_at=now)
    found: list[int] = []
    for job_id in ReplayJob.objects.filter(silent | unsent).order_by("id").values_list("id", flat=True):
        if ReplayJob.objects.filter(silent | unsent, pk=job_id).update(state=states.QUEUED, worker="", seen_at=None):
            found.append(job_id)
    return found


def queued() -> list[int]:
    """Jobs that a queue should hold: a worker with a queue of its own memory sends them again at its start."""
    return list(ReplayJob.objects.filter(state=states.QUEUED).order_by("id").values_list("id", flat=True))
