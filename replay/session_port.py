"""The gateways' way to replays: jobs in the database, sent to the queue, for sessions that watch them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.utils import timezone

from replay import jobs, states, tasks
from replay.api import feed_of
from replay.models import ReplayJob
from replay.submission import ReplayRefused, ReplayRequest, submit_for, unix_ns
from subscriptions.gateway.replays import NEVER_NS, PlayedJob
from subscriptions.models import Subscriber
from subscriptions.protocol import ProtocolError
from subscriptions.replay_operations import StartReplay

EXTEND_WAIT_S = 20.0  # until the player has put the job aside at the end of its range
EXTEND_LOOK_S = 0.05

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class DatabaseReplays:
    def __init__(self, *, data_dir: Path, partitions: int) -> None:
        self.data_dir, self.partitions = data_dir, partitions

    async def submit(self, asked: StartReplay, *, subscriber_id: int, now_ns: int) -> int:
        return await _in_thread(lambda: self._submit(asked, subscriber_id, now_ns))

    async def send(self, job_id: int) -> None:
        await _in_thread(lambda: tasks.enqueue(ReplayJob.objects.get(pk=job_id)))

    async def control(self, job_id: int, do: str, to_ns: int | None) -> None:
        if not await _in_thread(lambda: _control(job_id, do, to_ns)):
            raise ProtocolError("BAD_PARAM", f"do: {do} makes no sense now: the replay is not under way or has ended")

    async def extend(self, job_id: int, to_ns: int) -> None:
        """The end records may be here before the player has put the job aside: wait for that."""
        for _ in range(round(EXTEND_WAIT_S / EXTEND_LOOK_S)):
            if await _in_thread(lambda: jobs.extend(job_id, _at(to_ns))):
                return await _in_thread(lambda: tasks.send_again(job_id))
            await asyncio.sleep(EXTEND_LOOK_S)
        raise ProtocolError("INTERNAL", f"replay {job_id} cannot be extended")

    async def find(self, job_id: int) -> PlayedJob | None:
        return await _in_thread(lambda: _find(job_id))

    async def look(self, job_ids: Iterable[int]) -> dict[int, str]:
        return await _in_thread(lambda: _look(list(job_ids)))

    def _submit(self, asked: StartReplay, subscriber_id: int, now_ns: int) -> int:
        feed = feed_of(list(asked.symbols))
        if feed is None:
            raise ProtocolError("BAD_PARAM", "symbols: expected instruments of one feed", id=asked.id)
        owner = Subscriber.objects.filter(pk=subscriber_id).first()
        if owner is None:
            raise ProtocolError("NOT_ENTITLED", "replays belong to subscribers", id=asked.id)
        end_at = _at(asked.end_ns or now_ns)
        request = ReplayRequest(feed, _at(asked.start_ns), end_at, asked.speed, asked.symbols)
        try:
            job = submit_for(
                request, owner, data_dir=self.data_dir, now=timezone.now(), private=True, then_live=asked.then_live
            )
        except ReplayRefused as refusal:
            raise ProtocolError(refusal.code, str(refusal), id=asked.id) from None
        return int(job.pk)


def _control(job_id: int, do: str, to_ns: int | None) -> bool:
    if do == "pause":
        return jobs.pause(job_id)
    if do == "cancel":
        return jobs.cancel(job_id, now=timezone.now())
    done = jobs.resume(job_id) if do == "resume" else jobs.seek(job_id, to_ns or 0)
    if done and ReplayJob.objects.filter(pk=job_id, state=states.QUEUED).exists():
        tasks.send_again(job_id)
    return done


def _find(job_id: int) -> PlayedJob | None:
    """Nobody's: whose owner was deleted."""
    job = ReplayJob.objects.filter(pk=min(job_id, 2**62)).first()
    if job is None or (job.subscriber_id is None and job.submitted_by_id is None):
        return None
    return PlayedJob(job.subscriber_id, NEVER_NS if job.then_live else unix_ns(job.to_at))


def _look(job_ids: list[int]) -> dict[int, str]:
    jobs.watch(job_ids, now=timezone.now())
    return dict(ReplayJob.objects.filter(pk__in=job_ids).values_list("pk", "state"))


def _at(at_ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_ns // 1_000)


async def _in_thread(work: Callable[[], T]) -> T:
    def run() -> T:
        close_old_connections()
        try:
            return work()
        finally:
            close_old_connections()

    return await sync_to_async(run, thread_sensitive=False)()
