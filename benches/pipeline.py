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
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from benches.chart import bars
from benches.conservation import Conservation
from benches.precedence import add_priority, give_way, prioritized
from benches.sink import BOUNDS
from feeds.parser.latency import quantile_ms
from testbed.ports import free_base_port
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.system import ROOT, System

FEED = "STO"
DRAIN_S_MAX = 120.0
READY_S_MAX = 30.0
STILL_S = 3.0  # no count moves for so long: the workers tell theirs once a second
LIMIT_STEP = 2_500
DRAINED_S_MAX = 2.5  # behind the last datagram; heartbeats alone make a second and a half of it
HELD_MIN = 0.97  # of the asked rate; below it the machine was too slow to say anything of that rate


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send and through what."""

    rate: int
    seconds: int
    symbols: int
    partitions: int
    live: bool
    colocated: bool
    warm_up: int
    priority: int

    @property
    def count(self) -> int:
        """Messages in all, those of the warm-up included."""
        return self.rate * (self.seconds + self.warm_up)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run showed. `drained_s`: how long after the last datagram the last record came; `seconds`: p50, p99 and
    p99.9 (ms) of each second."""

    plan: Plan
    counts: Conservation
    rate: float
    elapsed_s: float
    drained_s: float
    warm_up: list[int]
    latency: list[int]
    seconds: list[tuple[float, float, float]]
    messages: int
    cores: dict[str, float]

    @property
    def held(self) -> float:
        """The rate that was sent, as a share of what was asked for."""
        return self.rate / self.plan.rate

    @property
    def sound(self) -> bool:
        """Nothing lost, and the rate held."""
        return not self.counts.broken() and self.held >= HELD_MIN


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
    parser.add_argument(
        "--find-limit", action="store_true", help="raise the rate from --rate until it is not held any more"
    )
    parser.add_argument("--colocated", action="store_true", help="the parser in the publisher's process")
    parser.add_argument(
        "--warm-up", type=int, default=3, metavar="S",
        help="seconds before, counted like all others, with a latency of their own: all is new then",
    )  # fmt: skip
    add_priority(parser, default=None)
    options = vars(parser.parse_args(arguments))
    find_limit = options.pop("find_limit")
    if options["priority"] is None:  # at the limit the exchange needs a processor too
        options["priority"] = 0 if find_limit else 1
    with tempfile.TemporaryDirectory(prefix="mdds-bench-") as folder:
        return (_find_limit if find_limit else run)(Plan(**options), Path(folder))


def run(plan: Plan, folder: Path) -> int:
    """One run in `folder`; 0 when it held the rate and lost nothing."""
    print(f"{platform.node()}: {plan.rate:,} messages/s on two lines for {plan.seconds} s, {plan.symbols} symbols")
    measured = measure(plan, folder)
    _print(measured)
    return 0 if measured.sound else 1


def measure(plan: Plan, folder: Path) -> Measured:
    """Start everything in `folder`, send, wait until all is parsed, stop everything."""
    broker = PrivateRabbitMQ()
    broker.start()
    print(prioritized(plan.priority, broker.pid))
    extra = {"MDDS_PARTITIONS": str(plan.partitions), "MDDS_PRIORITY": str(plan.priority)}
    system = System(folder / "data", free_base_port(), bus=broker.url, extra=extra)
    out = folder / "sink.json"
    try:
        system.prepare()
        system.start("capture", "run_capture", "--feed", FEED)
        system.start("publisher", "run_publisher", "--feed", FEED, *(["--with-parser"] if plan.colocated else []))
        if not plan.colocated:
            system.start("parser", "run_parser")
        sink = [
            sys.executable,
            "-m",
            "benches.sink",
            broker.url,
            f"mdds{system.base_port}",
            str(out),
            str(plan.warm_up),
        ]
        system.processes["sink"] = subprocess.Popen(sink, cwd=ROOT, env=system.environ)
        _until_ready(system)
        simulator = _simulate(system, plan)
        for process in (simulator, system.processes["sink"]):
            give_way(process.pid)
        return _measure(system, broker, simulator, out=out, plan=plan)
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
    count = plan.count
    arguments = ["--feed", FEED, "--steady", "--rate", str(plan.rate), "--symbols", str(plan.symbols)]
    arguments += ["--count", str(count), "--no-heartbeat", "--json", "--quiet", "--seed", "1"]
    if not plan.live:
        arguments += ["--prepared", str(count)]
    return system.start("simulator", "run_simulator", *arguments)


def _measure(
    system: System, broker: PrivateRabbitMQ, simulator: subprocess.Popen[bytes], *, out: Path, plan: Plan
) -> Measured:
    watched = {name: psutil.Process(process.pid) for name, process in system.processes.items()}
    watched["rabbitmq"] = psutil.Process(broker.pid)
    used = dict.fromkeys(watched, 0.0)
    before = {name: _cpu(process) for name, process in watched.items()}
    started = 0.0
    while simulator.poll() is None:
        time.sleep(0.25)
        if not started and received_bytes(system, FEED):
            started = time.monotonic()
            before = {name: _cpu(process) for name, process in watched.items()}
        for name, process in watched.items():
            used[name] = _cpu(process) or used[name]
    ended = time.monotonic()
    elapsed = ended - started
    sent = json.loads(system.log("simulator").strip().splitlines()[-1])
    counts, drained_at = _drained(system, out, sent)
    cores = {name: (used[name] - before[name]) / elapsed for name in watched}
    sink = json.loads(out.read_text())
    return Measured(
        plan=plan,
        counts=counts,
        rate=sent["rate"],
        elapsed_s=sent["elapsed_s"],
        drained_s=max(0.0, drained_at - ended),
        warm_up=sink["warm_up"],
        latency=sink["latency"],
        seconds=[tuple(sink["seconds"][second]) for second in sorted(sink["seconds"], key=int)],
        messages=sink["messages"],
        cores=cores,
    )


def _print(measured: Measured) -> None:
    plan, counts = measured.plan, measured.counts
    print(
        f"sent {counts.sent:,} messages in {measured.elapsed_s:.1f} s: {measured.rate:,.0f}/s, "
        f"{measured.held:.0%} of the rate; all parsed {measured.drained_s:.1f} s later"
    )
    print(counts.line())
    print(f"latency, kernel timestamp to PARSED publish, {_latency(measured.latency)}")
    if plan.warm_up:
        print(f"  in the {plan.warm_up} s of warm-up before, {_latency(measured.warm_up)}")
    for name, column in zip(("p50", "p99"), zip(*measured.seconds, strict=True), strict=False):
        print(f"  {name} by second {bars(column)} up to {max(column):.1f} ms")
    records = sum(measured.latency) + sum(measured.warm_up)
    print(f"PARSED messages {measured.messages:,}: {records / max(1, measured.messages):.0f} records each")
    cores = ", ".join(f"{name} {share:.2f}" for name, share in measured.cores.items())
    print(f"CPU, cores while sending ({measured.elapsed_s:.1f} s): {cores}; sum {sum(measured.cores.values()):.2f}")
    for text in counts.broken():
        print(f"LOST {text}")
    if measured.held < HELD_MIN:
        share = f"{measured.held:.0%} of {plan.rate:,}/s"
        print(f"NOT HELD: the machine sent {share} beside the rest, expected at least {HELD_MIN:.0%}")


def _latency(counts: list[int]) -> str:
    shares = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    words = ", ".join(f"{name} {quantile_ms(counts, share, BOUNDS):.2f} ms" for name, share in shares)
    return f"{sum(counts):,} records: {words}"


def _find_limit(plan: Plan, folder: Path) -> int:
    """Raise the rate by steps until it is not held, then halve the last step; the highest held rate is the limit."""
    held, failed, rate, best = 0, 0, plan.rate, None
    while rate and (not failed or failed - held > LIMIT_STEP):
        print(f"--- {rate:,} messages/s")
        run_folder = folder / str(rate)
        run_folder.mkdir()
        measured = measure(replace(plan, rate=rate), run_folder)
        _print(measured)
        if measured.sound and measured.drained_s <= DRAINED_S_MAX:
            held, best = rate, measured
        else:
            failed = rate
            print(f"not held: the parsers were {measured.drained_s:.1f} s behind, at most {DRAINED_S_MAX} s is held")
        rate = (held + failed) // 2 // LIMIT_STEP * LIMIT_STEP if failed else rate + 2 * LIMIT_STEP
        if rate in (held, failed):
            break
    if best is None:
        print(f"LIMIT: not even {plan.rate:,} messages/s")
        return 1
    print(f"LIMIT: {held:,} messages/s on two lines lose nothing and are parsed as they come")
    print("CPU at the limit: " + ", ".join(f"{name} {share:.2f}" for name, share in best.cores.items()))
    return 0


def received_bytes(system: System, feed: str) -> int:
    """What is in the feed's journal by now."""
    path = system.data_dir / "journal" / feed
    return sum(segment.stat().st_size for segment in path.glob("*.mdj"))


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0
    return times.user + times.system


def _drained(system: System, out: Path, sent: dict[str, object]) -> tuple[Conservation, float]:
    """Wait until nothing moves any more; the counts, and when they last moved (monotonic, to about a second)."""
    deadline = time.monotonic() + DRAIN_S_MAX
    last = None
    moved_at = still_at = time.monotonic()
    while True:
        counts = Conservation.of(system.stats(), json.loads(out.read_text()), sent, FEED)
        if last is None or counts.moving() != last.moving():
            moved_at = time.monotonic()
        if counts != last:
            last, still_at = counts, time.monotonic()
        elif time.monotonic() - still_at > STILL_S or time.monotonic() > deadline:
            return counts, moved_at
        time.sleep(0.25)
