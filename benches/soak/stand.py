"""The system under soak: private services, the workers of a distributed system, an exchange and a relay before it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

from benches.soak.drops import drops_at
from benches.soak.options import Options
from feeds.config import FeedConfig
from testbed.ports import free_base_port
from testbed.postgresql import PrivatePostgreSQL
from testbed.rabbitmq import VHOST, PrivateRabbitMQ
from testbed.redis import PrivateRedis
from testbed.system import ROOT, System, die_with_parent
from testbed.worker_process import feed_as_json, feed_of

FEED = "STO"
GAP_WAIT_MS = 1_000  # a machine that stalls for a moment must not turn a late copy into a gap
CLIENT_BYTES = 256 << 20
WORKERS = {
    "capture": ("run_capture", "--feed", FEED),
    "publisher": ("run_publisher", "--feed", FEED),
    "parser": ("run_parser",),
    "parser-1": ("run_parser", "--index", "1"),
    "gateway": ("run_gateway",),
}
ROWS = """
import json
from feeds.feed_rows import load_feeds, load_instruments
from feeds.models import Feed
from subscriptions.models import Contract
from testbed.worker_process import feed_as_json
Feed.objects.filter(name={feed!r}).update(gap_wait_ms={wait})
Contract.objects.update(queue_bytes_max={bytes})
(feed,) = load_feeds([{feed!r}], partitions=4)
print(json.dumps([feed_as_json(feed), {{k: t for k, (t, _) in load_instruments().items()}}]))
"""


class Stopped(Exception):
    """The run was interrupted before it began."""


class Known(NamedTuple):
    """What the reference must know of the system's rows."""

    feed: FeedConfig
    tickers: dict[str, str]


class Stand:
    """Start with `start`, end with `close`; every process is ours and is ended by its id."""

    def __init__(self, folder: Path, options: Options) -> None:
        self.folder = folder
        self.options = options
        self.broker = PrivateRabbitMQ()
        self.redis = PrivateRedis()
        self.postgresql = PrivatePostgreSQL()
        self.base_port = free_base_port()
        self.relay_log = folder / "relay.log"
        self.relay_counts = folder / "relay.json"
        self.truth = folder / "truth"
        self.exchange_path = folder / "exchange.json"
        self._dropped = [0, 0]  # by the kernel, at captures that were killed

    def start(self, stop: threading.Event) -> Known:
        """Everything but the exchange. Raises Stopped between two steps when `stop` is set."""
        print("starting RabbitMQ, Redis and PostgreSQL", flush=True)
        for service in (self.broker, self.redis, self.postgresql):
            service.start()
            _go_on(stop)
        print("making the database and its rows", flush=True)
        self.system = System(
            self.folder / "data",
            self.base_port,
            bus=self.broker.url,
            redis=self.redis.url,
            database=self.postgresql.create_database(f"soak{self.base_port}"),
            extra={"MDDS_OUTBOX_BYTES": str(CLIENT_BYTES)},
        )
        self.system.prepare("--unicast")
        _go_on(stop)
        code = ROWS.format(feed=FEED, wait=GAP_WAIT_MS, bytes=CLIENT_BYTES)
        printed = self.system.manage("shell", "--no-imports", "-c", code)
        feed, tickers = json.loads(printed.strip().splitlines()[-1])
        _go_on(stop)
        print(f"starting {', '.join(WORKERS)}, relay and client", flush=True)
        for name in WORKERS:
            self.start_worker(name)
        known = Known(feed_of(feed), tickers)
        self._ports = [line.port for line in known.feed.lines]
        self._start_relay(known.feed)
        return known

    def start_worker(self, name: str) -> None:
        self.system.start(name, *WORKERS[name])

    def kill(self, name: str) -> None:
        self.system.kill(name)

    def _start_relay(self, feed: FeedConfig) -> None:
        spec = {
            "out_ports": [line.port for line in feed.lines], "seed": self.options.seed, "log": str(self.relay_log),
            "counts": str(self.relay_counts),
        }  # fmt: skip
        self.relay = self._spawn("relay", "testbed.relay", spec, piped=True)
        assert self.relay.stdout is not None
        self._in_ports = json.loads(self.relay.stdout.readline())["in_ports"]
        value = feed_as_json(feed)
        for line, port in zip(value["lines"], self._in_ports, strict=True):
            line.update(group="127.0.0.1", port=port, source=None, interface="0.0.0.0")
        self._exchange_feed = value

    def start_exchange(self) -> None:
        options = self.options
        spec: dict[str, Any] = {
            "feed": self._exchange_feed, "rate": options.rate, "seed": options.seed, "symbols": options.symbols,
            "duration_s": options.seconds, "truth": str(self.truth), "summary": str(self.exchange_path),
            "digests": True, "cap": str(options.cap) if options.cap else None,
            "burst": "3x:2s:20s" if "burst" in options.faults else None,
        }  # fmt: skip
        self.exchange = self._spawn("exchange", "testbed.exchange_process", spec)

    def _spawn(self, name: str, module: str, spec: dict[str, Any], *, piped: bool = False) -> subprocess.Popen[bytes]:
        path = self.folder / f"{name}.spec"
        path.write_text(json.dumps(spec))
        with (self.system.data_dir / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, str(path)],
                cwd=ROOT,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                preexec_fn=die_with_parent,
                start_new_session=True,  # Ctrl-C is for us alone
            )
        self.system.processes[name] = process
        return process

    def set_faults(self, a: dict[str, float], b: dict[str, float]) -> None:
        """The faults of both lines from now on; empty: none."""
        assert self.relay.stdin is not None
        self.relay.stdin.write(json.dumps([a, b]).encode() + b"\n")
        self.relay.stdin.flush()

    def relayed(self) -> list[dict[str, int]]:
        return _read(self.relay_counts) or [{}, {}]

    def exchanged(self) -> dict[str, Any]:
        return _read(self.exchange_path) or {}

    def note_kernel_drops(self) -> None:
        """The capture is going to be killed: keep what its sockets have dropped."""
        self._dropped = self.kernel_drops()

    def kernel_drops(self) -> list[int]:
        """By line, of all captures so far."""
        return [before + now for before, now in zip(self._dropped, drops_at(self._ports), strict=True)]

    def raw_queues(self) -> dict[str, int]:
        """Messages in each queue of RAW, delivered ones that nobody has acknowledged among them."""
        rows = (row.split() for row in self.broker.ctl("list_queues", "-p", VHOST, "name", "messages").splitlines())
        prefix = f"mdds{self.base_port}.raw."
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[0].startswith(prefix)}

    def processes(self) -> dict[str, int]:
        """Ids of what is watched for memory, the checker among them."""
        own = {name: process.pid for name, process in list(self.system.processes.items()) if process.poll() is None}
        own["checker"] = os.getpid()
        return own | ({"rabbitmq": self.broker.pid} if self.broker.running else {})

    def ended_by_itself(self) -> str:
        """A process that ended though nobody killed it."""
        for name, process in list(self.system.processes.items()):
            if process.poll() is None or (name in ("exchange", "relay") and process.poll() == 0):
                continue
            if self.system.processes.get(name) is process:  # else it was killed on purpose a moment ago
                return f"{name} ended with {process.poll()}: {self.system.log(name)[-1500:]}"
        return ""

    def close(self) -> None:
        if self.broker.running:
            self.broker.resume()
        if hasattr(self, "system"):
            self.system.close()
        if hasattr(self, "relay"):
            for pipe in (self.relay.stdin, self.relay.stdout):
                if pipe is not None:
                    pipe.close()
        for service in (self.broker, self.redis, self.postgresql):
            service.close()


def _go_on(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
