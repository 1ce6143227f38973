"""`bin/bench pipeline`: simulator → multicast A and B → capture → RAW in RabbitMQ → parser → PARSED → counting sink.

Every box is a process of its own, the broker is a real private RabbitMQ, everything on this machine. Prints the
conservation line, the latency from the kernel's timestamp to the PARSED publish, and the CPU of each process. Exits
with 1 when anything was lost, or when the machine could not send at the asked rate beside the rest.
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

from benches.conservation import Conservation
from feeds.parser.latency import quantile_ms
from testbed.ports import free_base_port
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.system import ROOT, System

FEED = "STO"
DRAIN_S_MAX = 120.0
READY_S_MAX = 30.0
HELD_MIN = 0.97  # of the asked rate; below it the machine was too slow to say anything of that rate


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send and through what."""

    rate: int
    seconds: int
    symbols: int
    partitions: int
    live: bool


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 when the run held the rate and lost nothing."""
    parser = argparse.ArgumentParser(prog="bin/bench pipeline", description=__doc__)
    parser.add_argument("--rate", type=int, default=30_000, help="messages per second, each on both lines")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--symbols", type=int, default=400)
    parser.add_argument("--partitions", type=int, default=1, help="of RAW; one is right for two cores (default 1)")
    parser.add_argument(
        "--live", action="store_true", help="make messages while sending (default: prepared, sending measured alone)"
    )
    options = parser.parse_args(arguments)
    plan = Plan(**vars(options))
    with tempfile.TemporaryDirectory(prefix="mdds-bench-") as folder:
        return run(plan, Path(folder))


def run(plan: Plan, folder: Path) -> int:
    """One run in `folder`."""
    broker = PrivateRabbitMQ()
    broker.start()
    system = System(folder / "data", free_base_port(), bus=broker.url, extra={"MDDS_PARTITIONS": str(plan.partitions)})
    out = folder / "sink.json"
    try:
        system.prepare()
        for name in ("capture", "publisher"):
            system.start(name, f"run_{name}", "--feed", FEED)
        system.start("parser", "run_parser")
        sink = [sys.executable, "-m", "benches.sink", broker.url, f"mdds{system.base_port}", str(out)]
        system.processes["sink"] = subprocess.Popen(sink, cwd=ROOT, env=system.environ)
        _until_ready(system)
        print(f"{platform.node()}: {plan.rate:,} messages/s on two lines for {plan.seconds} s, {plan.symbols} symbols")
        simulator = _simulate(system, plan)
        return _report(system, broker, simulator, out=out, plan=plan)
    finally:
        system.close()
        broker.close()


def _until_ready(system: System) -> None:
    """Wait until every worker has beaten once."""
    deadline = time.monotonic() + READY_S_MAX
    while time.monotonic() < deadline:
        kinds = {name.split("/")[0] for name in system.stats()}
        if {"capture", "publisher", "parser"} <= kinds:
            time.sleep(2.0)
            return
    raise SystemExit(f"the workers did not start within {READY_S_MAX:.0f} s: see {system.data_dir}")


def _simulate(system: System, plan: Plan) -> subprocess.Popen[bytes]:
    count = plan.rate * plan.seconds
    arguments = ["--feed", FEED, "--steady", "--rate", str(plan.rate), "--symbols", str(plan.symbols)]
    arguments += ["--count", str(count), "--no-heartbeat", "--json", "--quiet", "--seed", "1"]
    if not plan.live:
        arguments += ["--prepared", str(count)]
    return system.start("simulator", "run_simulator", *arguments)


def _report(
    system: System, broker: PrivateRabbitMQ, simulator: subprocess.Popen[bytes], *, out: Path, plan: Plan
) -> int:
    watched = {name: psutil.Process(process.pid) for name, process in system.processes.items()}
    watched["rabbitmq"] = psutil.Process(broker.pid)
    used = dict.fromkeys(watched, 0.0)
    before = {name: _cpu(process) for name, process in watched.items()}
    started = 0.0
    while simulator.poll() is None:
        time.sleep(0.25)
        if not started and _received(system):
            started = time.monotonic()
            before = {name: _cpu(process) for name, process in watched.items()}
        for name, process in watched.items():
            used[name] = _cpu(process) or used[name]
    elapsed = time.monotonic() - started
    sent = json.loads(system.log("simulator").strip().splitlines()[-1])
    counts = _drained(system, out, sent)
    held = sent["rate"] / plan.rate
    print(f"sent {counts.sent:,} messages in {sent['elapsed_s']:.1f} s: {sent['rate']:,.0f}/s, {held:.0%} of the rate")
    print(counts.line())
    sink = json.loads(out.read_text())
    shares = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    latency = ", ".join(f"{name} {quantile_ms(sink['latency'], share):.2f} ms" for name, share in shares)
    print(f"latency, kernel timestamp to PARSED publish, {sum(sink['latency']):,} records: {latency}")
    cores = ", ".join(f"{name} {(used[name] - before[name]) / elapsed:.2f}" for name in watched)
    print(f"CPU, cores while sending ({elapsed:.1f} s): {cores}")
    for text in counts.broken():
        print(f"LOST {text}")
    if held < HELD_MIN:
        print(f"NOT HELD: the machine sent {held:.0%} of the rate beside the rest, expected at least {HELD_MIN:.0%}")
    return 1 if counts.broken() or held < HELD_MIN else 0


def _received(system: System) -> int:
    path = system.data_dir / "journal" / FEED
    return sum(segment.stat().st_size for segment in path.glob("*.mdj"))


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0
    return times.user + times.system


def _drained(system: System, out: Path, sent: dict[str, object]) -> Conservation:
    """Wait until nothing moves any more, then take the counts."""
    deadline = time.monotonic() + DRAIN_S_MAX
    last: tuple[object, ...] = ()
    while True:
        time.sleep(1.5)
        counts = Conservation.of(system.stats(), json.loads(out.read_text()), sent, FEED)
        now = counts.moving()
        if now == last or time.monotonic() > deadline:
            return counts
        last = now
