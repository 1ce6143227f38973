"""`bin/bench burst`: as many datagrams as fast as the sender can, through the whole path to PARSED.

The sender is a process of its own that has made every message before; each goes out on line A and line B. Capture,
publisher, parser and a counting consumer are processes, the broker is a real private RabbitMQ. What counts is that
nothing is lost: no kernel drop, all journaled, the backlog drained, memory flat. Exits with 1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benches.burst_watch import Watch, chart
from benches.conservation import Conservation
from testbed.ports import free_base_port
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.system import ROOT, System

FEED = "STO"
READY_S_MAX = 60.0
DRAIN_S_MAX = 180.0
SETTLED_S_MAX = 20.0
# A process may grow by its bounds (outboxes, prefetch, layouts), never by the backlog: 100,000 datagrams are 50 MB.
GROWTH_BYTES_MAX = 48 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """`datagrams` in all, half of them on each line."""

    datagrams: int
    symbols: int
    partitions: int
    drain_s: float


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 when nothing was lost and the backlog drained."""
    parser = argparse.ArgumentParser(prog="bin/bench burst", description=__doc__)
    parser.add_argument("--datagrams", type=int, default=100_000, help="in all, over both lines (default 100,000)")
    parser.add_argument("--symbols", type=int, default=400)
    parser.add_argument("--partitions", type=int, default=1, help="of RAW (default 1)")
    parser.add_argument("--drain-s", type=float, default=DRAIN_S_MAX, help="the backlog must be gone by then")
    plan = Plan(**vars(parser.parse_args(arguments)))
    with tempfile.TemporaryDirectory(prefix="mdds-bench-") as folder:
        return run(plan, Path(folder))


def run(plan: Plan, folder: Path) -> int:
    """One burst in `folder`."""
    broker = PrivateRabbitMQ()
    broker.start()
    system = System(folder / "data", free_base_port(), bus=broker.url, extra={"MDDS_PARTITIONS": str(plan.partitions)})
    out = folder / "sink.json"
    try:
        system.prepare()
        for name in ("capture", "publisher"):
            system.start(name, f"run_{name}", "--feed", FEED)
        system.start("parser", "run_parser")
        sink = [sys.executable, "-m", "benches.sink", broker.url, f"mdds{system.base_port}", str(out), "0"]
        system.processes["sink"] = subprocess.Popen(sink, cwd=ROOT, env=system.environ)
        watch = ready(system)
        print(f"{platform.node()}: {plan.datagrams:,} datagrams on two lines, as fast as the sender can")
        burst(system, plan, watch)
        return report(system, watch, out=out, plan=plan)
    finally:
        system.close()
        broker.close()


def ready(system: System) -> Watch:
    """The watch, once every worker has beaten and memory has settled."""
    database = system.data_dir / "mdds.sqlite3"
    deadline = time.monotonic() + READY_S_MAX
    probe = Watch(database, FEED, {})
    while not {"capture", "publisher", "parser"} <= probe.heartbeats().keys():
        if time.monotonic() > deadline:
            raise SystemExit(f"the workers did not start within {READY_S_MAX:.0f} s: see {system.data_dir}")
        time.sleep(0.2)
    probe.close()
    time.sleep(2.0)
    return Watch(database, FEED, {name: psutil.Process(process.pid) for name, process in system.processes.items()})


def burst(system: System, plan: Plan, watch: Watch) -> None:
    """Send, and watch until everything has drained or the time is over."""
    messages = str(plan.datagrams // 2)
    sender = system.start(
        "simulator", "run_simulator", "--feed", FEED, "--steady", "--rate", "1000000", "--symbols", str(plan.symbols),
        "--count", messages, "--prepared", messages, "--no-heartbeat", "--json", "--quiet", "--seed", "1",
    )  # fmt: skip
    deadline = 0.0
    while True:
        watch.look()
        if sender.poll() is None:
            deadline = time.monotonic() + plan.drain_s
        elif watch.drained(plan.datagrams) or time.monotonic() > deadline:
            return
        time.sleep(0.1)


def settled(system: System, out: Path, sent: dict[str, object]) -> Conservation:
    """The final counts: heartbeats and the sink's file are up to a second old, each at its own time."""
    deadline = time.monotonic() + SETTLED_S_MAX
    while True:
        time.sleep(1.5)
        counts = Conservation.of(system.stats(), json.loads(out.read_text()), sent, FEED)
        if not counts.broken() or time.monotonic() > deadline:
            return counts


def report(system: System, watch: Watch, *, out: Path, plan: Plan) -> int:
    """Print what happened; the exit code."""
    sent = json.loads(system.log("simulator").strip().splitlines()[-1])
    counts = settled(system, out, sent)
    print(chart(watch.samples))
    print(f"{2 * counts.sent:,} datagrams, sent at {2 * sent['rate']:,.0f}/s; drained after {watch.drained_s:.1f} s")
    print(counts.line())
    for text in watch.memory_lines():
        print(text)
    broken = [*counts.broken(), *watch.grown(GROWTH_BYTES_MAX)]
    if not watch.drained(plan.datagrams):
        broken.append(f"the backlog was not gone after {plan.drain_s:.0f} s")
    for text in broken:
        print(f"LOST {text}")
    return 1 if broken else 0
