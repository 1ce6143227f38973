"""Runs a process's workers on one loop until a signal, a failure, or their own end."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import uvloop

from feeds.heartbeats import Beat, HeartbeatWriter
from feeds.metrics import exported
from feeds.metrics_port import MetricsPortBusy, start_metrics_port
from feeds.precedence import run_in_real_time, run_on

log = logging.getLogger(__name__)

STOP_S_MAX = 4.0  # a worker that has not ended by then is cancelled; the process ends within 5 s
EXIT_S_MAX = 4.8  # a process still there by then (a thread that hangs, a worker that ignores its cancellation) is ended
BEAT_S = 1.0
SWITCH_S = 0.0005  # how long a heartbeat's thread may hold the interpreter against the data path; Python's is 5 ms
# New containers between two collections of the youngest generation, and how often the elder ones join in.
GC_DATA_PATH = (50_000, 20, 50)
GC_SESSIONS = (10_000, 10, 10)  # where clients come and go: what is left of them in rings is not to pile up


class Worker(Protocol):
    """A long-running part of the service. `run` returns soon after `stop` is set, having drained what it must."""

    kind: str
    name: str

    async def run(self, stop: asyncio.Event) -> None: ...

    def stats(self) -> dict[str, object]: ...


class WorkerFailed(Exception):
    """A worker raised; the others are stopped and the process exits with 1."""

    def __init__(self, worker: Worker, cause: BaseException) -> None:
        super().__init__(f"worker {worker.kind} {worker.name} failed: {type(cause).__name__}: {cause}")


def run_workers(
    workers: Sequence[Worker],
    *,
    metrics_port: int | None,
    metrics_host: str = "127.0.0.1",
    gc_thresholds: tuple[int, int, int] = GC_DATA_PATH,
    priority: int = 0,
    cpus: Collection[int] = (),
) -> None:
    """Returns when all have ended after a signal or by themselves; exits with 1 and a message when one fails.
    `priority`: SCHED_RR 1 to 99 for the whole process, 0 leaves it with the ordinary scheduler. `cpus`: the processors
    it runs on, none: any."""
    run_in_real_time(priority)  # before there are threads: they inherit it
    run_on(cpus)
    last_resort = threading.Timer(EXIT_S_MAX, _end_the_process)
    last_resort.daemon = True
    # What is loaded now stays, and the data path makes many short-lived tuples: collect rarely.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*gc_thresholds)
    sys.setswitchinterval(SWITCH_S)
    try:
        if metrics_port is not None:
            start_metrics_port(metrics_port, host=metrics_host)
        with exported(workers), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(supervise(workers, on_stop=last_resort.start))
    except (MetricsPortBusy, WorkerFailed) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from error
    finally:
        last_resort.cancel()


def _end_the_process() -> None:
    names = ", ".join(thread.name for thread in threading.enumerate() if not thread.daemon)
    print(f"error: not stopped within {EXIT_S_MAX} s, ended; threads: {names}", file=sys.stderr, flush=True)
    os._exit(1)


async def supervise(workers: Sequence[Worker], *, on_stop: Callable[[], None] = lambda: None) -> None:
    """Owns every worker's task and the heartbeats; raises WorkerFailed with the first failure."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    writer = HeartbeatWriter()
    writer.start()
    failures: list[WorkerFailed] = []
    try:
        async with asyncio.TaskGroup() as group:
            beats = group.create_task(_beat(workers, writer), name="heartbeats")
            tasks = [group.create_task(_run(worker, stop, failures), name=worker.name) for worker in workers]
            await _until_stopped(tasks, stop)
            on_stop()
            await _wind_down(tasks)
            beats.cancel()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        # On a thread of its own: the join must not hold the loop, and a hung database costs half a second at most.
        await asyncio.to_thread(writer.close, _collect(workers, stopped=not failures), timeout_s=0.5)
    if failures:
        raise failures[0]


async def _run(worker: Worker, stop: asyncio.Event, failures: list[WorkerFailed]) -> None:
    try:
        await worker.run(stop)
    except Exception as error:
        log.exception("worker %s %s failed", worker.kind, worker.name)
        failure = WorkerFailed(worker, error)
        failure.__cause__ = error
        failures.append(failure)
        stop.set()


async def _until_stopped(tasks: Sequence[asyncio.Task[None]], stop: asyncio.Event) -> None:
    """Waits for the stop, or for all workers to have ended by themselves."""
    stopped: asyncio.Task[object] = asyncio.create_task(stop.wait())
    ended: asyncio.Task[object] = asyncio.create_task(_all_ended(tasks))
    try:
        await asyncio.wait({stopped, ended}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        ended.cancel()


async def _all_ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """asyncio.wait, unlike gather, leaves the tasks alone when it is cancelled itself."""
    if tasks:
        await asyncio.wait(tasks)


async def _wind_down(tasks: Sequence[asyncio.Task[None]]) -> None:
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=STOP_S_MAX)
    for task in late:
        log.error("worker %s did not stop within %.0f s: cancelled", task.get_name(), STOP_S_MAX)
        task.cancel()


async def _beat(workers: Sequence[Worker], writer: HeartbeatWriter) -> None:
    while True:
        writer.post(_collect(workers, stopped=False))
        await asyncio.sleep(BEAT_S)


def _collect(workers: Sequence[Worker], *, stopped: bool) -> list[Beat]:
    return [Beat(worker.kind, worker.name, _stats(worker), stopped) for worker in workers]


def _stats(worker: Worker) -> dict[str, object]:
    try:
        return worker.stats()
    except Exception as error:  # a broken statistic harms the row only
        log.exception("stats of worker %s %s", worker.kind, worker.name)
        return {"error": f"{type(error).__name__}: {error}"}
