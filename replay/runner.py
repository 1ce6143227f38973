"""Runs one replay job: claims it, plays it, writes how it ended."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from django.db import connections
from django.utils import timezone

from feeds.capture.raw_stage import RawStage
from feeds.config import FeedConfig
from feeds.feed_rows import load_feeds
from feeds.journal import JournalReader
from replay import jobs, metrics, states
from replay.bus_door import bus_for_task
from replay.checkpoints import Checkpoint, Progress
from replay.limits import DEFAULT_LIMITS, ReplayLimits
from replay.models import ReplayJob
from replay.player import COMPLETED, Player, PlayOrder
from replay.submission import unix_ns

log = logging.getLogger(__name__)
T = TypeVar("T")

_stopping = threading.Event()


def stop_all() -> None:
    """Ask the players of this process to stop within half a second; their jobs go back to the queue."""
    _stopping.set()


def resume_all() -> None:
    """Let players run (again): at a worker's start."""
    _stopping.clear()


class WallClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    async def sleep_ns(self, wait_ns: int) -> None:
        await asyncio.sleep(wait_ns / 1_000_000_000)


class RowLedger:
    """Progress into the job's row. The ORM runs on one thread of its own, never on the player's loop."""

    def __init__(self, claim: jobs.Claim) -> None:
        self._claim = claim
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"replay-{claim.job_id}")

    async def call(self, work: Callable[[], T]) -> T:
        """Run `work` on the ledger's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def checkpoint(self, progress: Progress) -> bool:
        go_on = await self.call(lambda: jobs.checkpoint(self._claim, progress, now=timezone.now()))
        return go_on and not _stopping.is_set()

    async def close(self) -> None:
        await self.call(connections.close_all)
        self._thread.shutdown()


def run(job_id: int, *, data_dir: Path, partitions: int, limits: ReplayLimits = DEFAULT_LIMITS) -> str:
    """Play the job to its end. Returns its state afterwards, or `held` when another worker has it."""
    worker = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    claim = jobs.claim(job_id, worker=worker, now=timezone.now())
    if claim is None:
        log.info("replay %d is held by another worker or has ended", job_id)
        return "held"
    with metrics.RUNNING.track_inprogress():
        state = _run(claim, data_dir=data_dir, partitions=partitions, limits=limits)
    metrics.ENDED.labels(state).inc()
    return state


def _run(claim: jobs.Claim, *, data_dir: Path, partitions: int, limits: ReplayLimits) -> str:
    try:
        outcome = asyncio.run(_play(claim, data_dir=data_dir, partitions=partitions, limits=limits))
    except Exception as error:  # any failure ends in the job's row, where the operator looks
        log.exception("replay %d failed", claim.job_id)
        jobs.finish(claim, states.FAILED, now=timezone.now(), error=f"{type(error).__name__}: {error}")
        return states.FAILED
    return _ended(claim, outcome)


def _ended(claim: jobs.Claim, outcome: str) -> str:
    now = timezone.now()
    if outcome == COMPLETED and jobs.put_aside(claim):
        return states.PAUSED
    if outcome == COMPLETED:
        return states.COMPLETED if jobs.finish(claim, states.COMPLETED, now=now) else "held"
    if ReplayJob.objects.filter(pk=claim.job_id, cancel_requested=True).exists():
        return states.CANCELLED if jobs.finish(claim, states.CANCELLED, now=now) else "held"
    return states.QUEUED if jobs.release(claim) else "held"


async def _play(claim: jobs.Claim, *, data_dir: Path, partitions: int, limits: ReplayLimits) -> str:
    ledger = RowLedger(claim)
    try:
        order, feed = await ledger.call(lambda: _order(claim.job_id, partitions=partitions, limits=limits))
        journal = JournalReader(data_dir / "journal" / feed.name)
        # A name of the claim's own: the parser follows message numbers per publisher, and each claim begins at 1.
        stage = RawStage(feed, origin=f"replay:{claim.job_id}", publisher=claim.worker.rpartition(":")[2])
        try:
            async with bus_for_task() as bus:
                player = Player(order, journal=journal, stage=stage, bus=bus, ledger=ledger, clock=WallClock())
                return await player.run()
        finally:
            journal.close()
    finally:
        await ledger.close()


def _order(job_id: int, *, partitions: int, limits: ReplayLimits) -> tuple[PlayOrder, FeedConfig]:
    job = ReplayJob.objects.select_related("feed").get(pk=job_id)
    (feed,) = load_feeds([job.feed.name], partitions=partitions)
    order = PlayOrder(
        from_ns=unix_ns(job.from_at) if job.seek_ns is None else job.seek_ns,
        to_ns=unix_ns(job.to_at),
        speed=job.speed,
        messages_per_s_max=limits.messages_per_s_max,
        resume=Checkpoint.from_json(job.position) if job.position else None,
        isins=frozenset(job.isins),
    )
    return order, feed
