"""Celery's door to the replay: the task, and the care for jobs whose worker was lost."""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps, current_app, shared_task
from celery.signals import worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, close_old_connections, transaction
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


def send_again(job_id: int) -> None:
    """Send a job to the queue that is queued already: after a pause or a seek."""
    transaction.on_commit(lambda: _deliver(job_id))


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


class Caretaker(bootsteps.StartStopStep):
    """In every worker: at its start, send again what an in-memory queue forgot; then sweep, as long as it runs.

    Sending twice is harmless: a job is claimed once. A step and not a signal: the embedded worker sends no signals.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._entry: Any = None

    def start(self, consumer: Any) -> None:
        """The worker takes tasks from now on; also after it has lost its broker for a while."""
        runner.resume_all()
        self._entry = consumer.timer.call_repeatedly(SWEEP_S, self._sweep)
        try:
            for job_id in jobs.queued():
                _deliver(job_id)
        except DatabaseError as error:
            log.warning("queued replays could not be read: %s", error)

    def stop(self, consumer: Any) -> None:
        """The worker takes no more tasks."""
        if self._entry is not None:
            self._entry.cancel()

    def _sweep(self) -> None:
        close_old_connections()
        try:
            sweep()
        except DatabaseError as error:  # the next sweep tries again
            log.warning("lost replays could not be looked for: %s", error)


current_app.steps["consumer"].add(Caretaker)


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    runner.stop_all()
