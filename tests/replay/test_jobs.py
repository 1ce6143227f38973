"""The life of a job: claimed once, moved by conditional updates, found again when its worker is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from replay import jobs, states
from replay.checkpoints import Checkpoint, Progress
from replay.models import ReplayJob
from tests.replay.conftest import NOW

LATER = NOW + jobs.STALE_AFTER + timedelta(seconds=1)
PROGRESS = Progress(Checkpoint("20261120-0001.mdj", 4096, {"epoch": 1}, 1_000, 40), 1_200, 55)


def state_of(job: ReplayJob) -> str:
    job.refresh_from_db()
    return job.state


def claim(job: ReplayJob, worker: str = "w1") -> jobs.Claim:
    found = jobs.claim(job.pk, worker=worker, now=NOW)
    assert found is not None
    return found


def test_a_job_is_claimed_once(job: ReplayJob) -> None:
    assert jobs.mark_queued(job.pk)
    assert jobs.claim(job.pk, worker="w1", now=NOW) == jobs.Claim(job.pk, "w1")
    assert jobs.claim(job.pk, worker="w2", now=NOW) is None
    assert (state_of(job), job.worker, job.claims, job.started_at) == ("running", "w1", 1, NOW)


def test_a_silent_workers_job_is_taken_over_and_the_old_worker_is_out(job: ReplayJob) -> None:
    old = claim(job)
    assert jobs.checkpoint(old, PROGRESS, now=NOW)
    assert jobs.claim(job.pk, worker="w2", now=NOW + jobs.STALE_AFTER) is None
    new = jobs.claim(job.pk, worker="w2", now=LATER)
    assert new is not None
    assert not jobs.checkpoint(old, PROGRESS, now=LATER)
    assert not jobs.finish(old, states.COMPLETED, now=LATER)
    assert jobs.checkpoint(new, PROGRESS, now=LATER)
    assert (state_of(job), job.worker, job.claims, job.started_at) == ("running", "w2", 2, NOW)


def test_a_checkpoint_is_written_and_read_back(job: ReplayJob) -> None:
    assert jobs.checkpoint(claim(job), PROGRESS, now=NOW)
    job.refresh_from_db()
    assert Checkpoint.from_json(job.position) == PROGRESS.checkpoint
    assert (job.current_ns, job.messages_sent) == (1_200, 55)


@pytest.mark.parametrize("state", states.ENDED)
def test_finish_ends_a_running_job_once(job: ReplayJob, state: str) -> None:
    held = claim(job)
    assert jobs.finish(held, state, now=LATER, error="why" if state == "failed" else "")
    assert not jobs.finish(held, states.CANCELLED, now=LATER)
    assert (state_of(job), job.finished_at) == (state, LATER)
    assert jobs.claim(job.pk, worker="w2", now=LATER + timedelta(hours=1)) is None


def test_finish_refuses_what_is_no_end(job: ReplayJob) -> None:
    with pytest.raises(ValueError, match="found queued"):
        jobs.finish(claim(job), states.QUEUED, now=NOW)


def test_a_released_job_waits_for_the_next_worker(job: ReplayJob) -> None:
    assert jobs.release(claim(job))
    assert state_of(job) == "queued"
    assert jobs.claim(job.pk, worker="w2", now=NOW) is not None


def test_a_waiting_job_is_cancelled_at_once(job: ReplayJob) -> None:
    assert jobs.cancel(job.pk, now=NOW)
    assert state_of(job) == "cancelled"
    assert jobs.claim(job.pk, worker="w1", now=NOW) is None
    assert not jobs.cancel(job.pk, now=NOW)


def test_a_running_job_is_asked_and_its_next_checkpoint_says_stop(job: ReplayJob) -> None:
    held = claim(job)
    assert jobs.cancel(job.pk, now=NOW)
    assert not jobs.cancel(job.pk, now=NOW)
    assert state_of(job) == "running"
    assert not jobs.checkpoint(held, PROGRESS, now=NOW)
    assert jobs.finish(held, states.CANCELLED, now=NOW)


def test_a_running_job_without_its_worker_is_cancelled_at_once(job: ReplayJob) -> None:
    claim(job)
    assert jobs.cancel(job.pk, now=LATER)
    assert state_of(job) == "cancelled"


def test_lost_jobs_are_handed_to_one_caller(job: ReplayJob) -> None:
    claim(job)
    assert jobs.lost(now=NOW) == []
    assert jobs.lost(now=LATER) == [job.pk]
    assert jobs.lost(now=LATER) == []
    assert (state_of(job), jobs.queued()) == ("queued", [job.pk])


def test_a_lost_job_whose_cancel_was_asked_for_is_cancelled(job: ReplayJob) -> None:
    claim(job)
    jobs.cancel(job.pk, now=NOW)
    assert jobs.lost(now=LATER) == []
    assert state_of(job) == "cancelled"


def test_a_job_that_never_reached_the_queue_is_found(job: ReplayJob) -> None:
    assert jobs.lost(now=NOW + jobs.UNSENT_AFTER) == []
    assert jobs.lost(now=NOW + jobs.UNSENT_AFTER + timedelta(seconds=1)) == [job.pk]


@pytest.mark.parametrize(
    ("constraint", "change"),
    [
        ("replay_to_after_from", {"to_at": NOW - timedelta(days=9)}),
        ("replay_speed_not_negative", {"speed": -1}),
        ("replay_state_known", {"state": "dancing"}),
        ("replay_counts_not_negative", {"messages_sent": -1}),
        ("replay_running_has_worker", {"state": "running"}),
        ("replay_ended_has_time", {"state": "completed"}),
        ("replay_failed_says_why", {"state": "failed", "finished_at": NOW}),
    ],
)
def test_the_database_refuses_the_impossible(job: ReplayJob, constraint: str, change: dict[str, object]) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        ReplayJob.objects.filter(pk=job.pk).update(**change)
