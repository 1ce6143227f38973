"""Composes the embedded default: every worker of the service in one process, on one loop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from feeds.bus.base import Bus
from feeds.bus.memory import MemoryBus
from feeds.data_path import capture_worker, colocated_parser, in_a_thread, parser_worker, publisher_worker
from feeds.dead_letters.spool import DeadLetterSpool
from feeds.feed_rows import load_feeds, reload_feeds
from feeds.worker import Worker
from mdds_site.celery import app as celery_app
from mdds_site.env import MddsSettings
from replay import bus_door
from subscriptions.gateway.configured import configured_gateway
from subscriptions.gateway.server import GatewayServer
from subscriptions.usage import UsageWorker

CELERY_STOP_S = 2.0


class CeleryThread:
    """The Celery worker in a thread of this process; its replay tasks publish on this process' bus."""

    kind = "replay"
    name = "celery"

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._worker: Any = None

    async def run(self, stop: asyncio.Event) -> None:
        bus_door.install(bus_door.bridge(self.bus, asyncio.get_running_loop()))
        self._worker = celery_app.WorkController(
            app=celery_app,
            pool_cls="threads",
            concurrency=2,
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            quiet=True,
        )
        thread = threading.Thread(target=self._worker.start, name="celery", daemon=True)
        thread.start()
        await stop.wait()
        await asyncio.to_thread(self._stop, thread)
        bus_door.install(None)

    def _stop(self, thread: threading.Thread) -> None:
        from replay import runner

        runner.stop_all()  # each replay keeps its checkpoint and goes on at the next start
        self._worker.stop()
        thread.join(CELERY_STOP_S)

    def stats(self) -> dict[str, object]:
        """Tasks done since the start."""
        total = dict(self._worker.state.total_count) if self._worker is not None else {}
        return {"tasks": sum(total.values())}


class SimulatorProcess:
    """The simulated exchange: a process of its own, as an exchange is, ended with this one."""

    kind = "exchange"
    name = "simulated exchange"

    def __init__(self, manage: Path, arguments: list[str]) -> None:
        self._command = [sys.executable, str(manage), "run_simulator", *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        await asyncio.to_thread(self._start)
        try:
            while not stop.is_set():
                if self._process is not None and self._process.poll() is not None:
                    raise RuntimeError(f"the simulated exchange ended with exit code {self._process.returncode}")
                try:
                    await asyncio.wait_for(stop.wait(), 0.5)
                except TimeoutError:
                    continue
        finally:
            await asyncio.to_thread(self._end)

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, preexec_fn=_die_with_parent)

    def _end(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stats(self) -> dict[str, object]:
        return {"pid": self._process.pid if self._process is not None else None}


def _die_with_parent() -> None:
    """SIGTERM when the parent is killed (PR_SET_PDEATHSIG), and no Ctrl-C of the terminal: the parent passes it on."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    os.setpgid(0, 0)


class Announcer:
    """Prints the URLs once the port listens."""

    kind = "announcer"
    name = "announcer"

    def __init__(self, server: GatewayServer, say: Callable[[], None]) -> None:
        self._server = server
        self._say = say

    async def run(self, stop: asyncio.Event) -> None:
        started = asyncio.create_task(self._server.started.wait())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if started.done():
            self._say()
        started.cancel()
        await stopped

    def stats(self) -> dict[str, object]:
        return {}


def embedded_workers(mdds: MddsSettings, application: object, say: Callable[[], None]) -> list[Worker]:
    """All workers of the embedded default, in the order in which the data passes them."""
    bus = MemoryBus(mdds.data_dir, mdds.partitions)
    feeds = load_feeds(partitions=mdds.partitions)
    watch = partial(reload_feeds, partitions=mdds.partitions)
    server = GatewayServer(application, host=mdds.host, port=mdds.base_port, trusted_proxies=mdds.proxies)
    gateway = configured_gateway(bus, mdds)
    capture = capture_worker(feeds, data_dir=mdds.data_dir, prefix=mdds.prefix)
    capture.watch = in_a_thread(watch)
    publisher = publisher_worker(
        feeds, bus, data_dir=mdds.data_dir, prefix=mdds.prefix, watch=watch, linger_ms=mdds.linger_ms
    )
    return [
        capture,
        publisher,
        colocated_parser(publisher, mdds.partitions, replays=True)
        if mdds.colocated
        else parser_worker(bus, range(mdds.partitions)),
        gateway,
        server,
        UsageWorker(gateway.layer, time_zone=mdds.time_zone),
        CeleryThread(bus),
        DeadLetterSpool(bus, mdds.data_dir / "dead_letters" / "reinject"),
        Announcer(server, say),
    ]
