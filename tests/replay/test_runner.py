"""One job from its row to the bus and back: completed, cancelled, failed, taken over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from django.utils import timezone

from feeds.bus.memory import MemoryBus
from replay import bus_door, jobs, runner, tasks
from replay.models import ReplayJob
from tests.replay.doubles import ManualClock, RecordingBus, both_lines, write_journal

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    write_journal(tmp_path / "journal" / "STO", both_lines(range(1, 1001)))
    return tmp_path


@pytest.fixture
def bus() -> Iterator[RecordingBus]:
    """All tasks of the test publish here."""
    recording = RecordingBus(ManualClock())

    @asynccontextmanager
    async def door() -> AsyncIterator[RecordingBus]:
        yield recording

    bus_door.install(door)
    yield recording
    bus_door.install(None)
    runner.resume_all()


def test_a_job_runs_to_its_end(job: ReplayJob, data_dir: Path, bus: RecordingBus) -> None:
    assert runner.run(job.pk, data_dir=data_dir, partitions=2) == "completed"
    job.refresh_from_db()
    assert (job.state, job.messages_sent, job.error) == ("completed", 1000, "")
    assert job.finished_at is not None
    assert bus.sequences() == list(range(1, 1001))
    assert {one.headers["origin"] for _at, one in bus.messages} == {job.origin}


def test_a_held_job_is_left_alone(job: ReplayJob, data_dir: Path, bus: RecordingBus) -> None:
    jobs.claim(job.pk, worker="elsewhere", now=timezone.now())
    assert runner.run(job.pk, data_dir=data_dir, partitions=2) == "held"
    assert bus.messages == []


def test_a_cancel_ends_a_running_job_within_a_second(job: ReplayJob, data_dir: Path, bus: RecordingBus) -> None:
    ReplayJob.objects.filter(pk=job.pk).update(speed=1)
    ended: list[str] = []
    thread = threading.Thread(target=lambda: ended.append(runner.run(job.pk, data_dir=data_dir, partitions=2)))
    thread.start()
    while not bus.messages:
        assert thread.is_alive()
    assert jobs.cancel(job.pk, now=timezone.now())
    thread.join(1.0)
    assert ended == ["cancelled"]
    job.refresh_from_db()
    assert job.state == "cancelled"
    assert 0 < job.messages_sent < 1000
    assert not bus.ends()


def test_a_stopping_worker_gives_its_job_back_and_the_next_goes_on(
    job: ReplayJob, data_dir: Path, bus: RecordingBus
) -> None:
    runner.stop_all()
    assert runner.run(job.pk, data_dir=data_dir, partitions=2) == "queued"
    runner.resume_all()
    assert runner.run(job.pk, data_dir=data_dir, partitions=2) == "completed"
    assert sorted(set(bus.sequences())) == list(range(1, 1001))


def test_a_failure_is_told_in_the_row(job: ReplayJob, data_dir: Path, bus: RecordingBus) -> None:
    job.feed.lines.all().delete()
    assert runner.run(job.pk, data_dir=data_dir, partitions=2) == "failed"
    job.refresh_from_db()
    assert job.state == "failed"
    assert "UnknownFeed: feed 'STO' has no line" in job.error


def test_the_bridge_publishes_on_the_bus_of_another_thread(job: ReplayJob, data_dir: Path, tmp_path: Path) -> None:
    """The embedded process: the bus lives in its loop, the task in a Celery thread."""

    async def embedded() -> tuple[str, int]:
        bus = MemoryBus(tmp_path / "bus", 2)
        await bus.open()
        received = 0

        async def read(partition: int) -> None:
            nonlocal received
            subscription = bus.consume_raw(partition, replay=True)
            async for delivery in subscription:
                received += delivery.headers["origin"] == job.origin
                subscription.ack(delivery)

        readers = [asyncio.create_task(read(partition)) for partition in range(2)]
        bus_door.install(bus_door.bridge(bus, asyncio.get_running_loop()))
        try:
            ended = await asyncio.to_thread(runner.run, job.pk, data_dir=data_dir, partitions=2)
        finally:
            bus_door.install(None)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)
            await bus.close()
        return ended, received

    ended, received = asyncio.run(embedded())
    assert ended == "completed"
    assert received >= 2
    job.refresh_from_db()
    assert job.messages_sent == 1000


def test_a_queue_that_refuses_leaves_the_job_submitted(job: ReplayJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise ConnectionRefusedError("no broker")

    monkeypatch.setattr(tasks.play, "apply_async", refuse)
    tasks.enqueue(job)
    job.refresh_from_db()
    assert job.state == "submitted"


def test_the_sweep_sends_lost_jobs_again(job: ReplayJob, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(tasks.play, "apply_async", lambda arguments, **_options: sent.append(arguments[0]))
    jobs.claim(job.pk, worker="killed", now=timezone.now() - 2 * jobs.STALE_AFTER)
    assert tasks.sweep() == [job.pk]
    assert tasks.sweep() == []
    assert sent == [job.pk]


class Timer:
    """A worker's timer that a test runs by hand."""

    def __init__(self) -> None:
        self.entries: list[tuple[float, Callable[[], None]]] = []

    def call_repeatedly(self, seconds: float, work: Callable[[], None]) -> Timer:
        self.entries.append((seconds, work))
        return self

    def cancel(self) -> None:
        self.entries.clear()


class Consumer:
    """A Celery worker's consumer, as its steps see it."""

    def __init__(self) -> None:
        self.timer = Timer()


def test_every_worker_sends_forgotten_jobs_at_its_start_and_then_sweeps(
    job: ReplayJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(tasks.play, "apply_async", lambda arguments, **_options: sent.append(arguments[0]))
    jobs.mark_queued(job.pk)
    consumer = Consumer()
    step = tasks.Caretaker(consumer)
    step.start(consumer)
    assert sent == [job.pk]
    jobs.claim(job.pk, worker="killed", now=timezone.now() - 2 * jobs.STALE_AFTER)
    ((seconds, sweep),) = consumer.timer.entries
    sweep()
    assert (seconds, sent) == (tasks.SWEEP_S, [job.pk, job.pk])
    step.stop(consumer)
    assert consumer.timer.entries == []


def test_the_caretaker_is_part_of_the_sites_worker() -> None:
    from mdds_site.celery import app

    assert tasks.Caretaker in app.steps["consumer"]
