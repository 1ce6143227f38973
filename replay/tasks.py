"""Celery's door to the replay: the task, and the care for jobs whose worker was lost."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from replay import jobs, runner
from replay.models import ReplayJob

log = logging.getLogger(__name__)

SWEEP_S = 10.0


# Acknowledged at the start: a replay may take hours, and a broker closes the channel of a task unacknowledged for
# 30 minutes. The row, not the queue, remembers the job: `sweep` sends it again when its worker is lost.
@shared_task(name="replay.play", acks_late=False, ignore_result=True)
def play(job_id: int) -> str:
    """Play one job."""
    return runner.run(int(job_id), data_dir=settings.MDDS.data_dir, partitions=settings.MDDS.partitions)


def enqueue(job: ReplayJob) -> None:
    """Send a submitted job to the queue once its row is committed.

    A broker that is away leaves the job submitted; the next sweep of any worker sends it.
    """
    transaction.on_commit(lambda: _send(job.pk))


def _send(job_id: int) -> None:
    jobs.mark_queued(job_id)
    _deliver(job_id)


def _deliver(job_id: int) -> None:
    try:
        play.apply_async((job_id,), retry=False)
    except Exception as error:  # kombu raises what its transport raises
        log.warning("replay %d could not be sent to the queue: %s", job_id, error)
        jobs.unqueue(job_id, now=timezone.now())


def sweep() -> list[int]:
    """Send the jobs again that nobody works on."""
    found = jobs.lost(now=timezone.now())
    for job_id in found:
        log.warning("replay %d has lost its worker; it is sent again", job_id)
        _deliver(job_id)
    return found


@worker_ready.connect
def _start(sender: Any, **_: object) -> None:
    """At a worker's start: send again what an in-memory queue forgot, and keep sweeping.

    Sending twice is harmless: a job is claimed once.
    """
    runner.resume_all()
    for job_id in jobs.queued():
        _deliver(job_id)
    sweep()
    timer = getattr(sender, "timer", None)
    if timer is not None:
        timer.call_repeatedly(SWEEP_S, sweep)


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    runner.stop_all()
