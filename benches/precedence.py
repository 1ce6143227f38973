"""Who gets the processors in a benchmark that has the exchange and the clients on the same machine.

The system runs as an operator would run it for the lowest latency: the workers of the data path and the broker with a
real-time priority (MDDS_PRIORITY, and docs/runbook.md for the broker), the gateway on a processor of its own
(MDDS_GATEWAY_CPUS). The exchange and the clients are other machines' work: what stands for them here gives way to what
is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator

import psutil

from feeds.precedence import run_in_real_time

BESIDE_NICE = 10


def add_priority(parser: argparse.ArgumentParser, *, default: int | None) -> None:
    """`--priority`, of the system and its broker; None: the caller decides."""
    says = "1; 0 beside others, and to find a limit" if default is None else default
    parser.add_argument(
        "--priority", type=int, default=default, choices=range(100), metavar="N",
        help=f"real-time priority of the system's workers and the broker; 0: the ordinary scheduler (default {says})",
    )  # fmt: skip


def prioritized(priority: int, broker_pid: int) -> str:
    """Give the broker its priority (the workers take it themselves); says what is so."""
    if priority and run_in_real_time(priority, broker_pid):
        return f"real-time priority {priority} (SCHED_RR): the system's workers and the broker"
    return "ordinary scheduler: the system's workers and the broker"


@contextlib.contextmanager
def processor_apart(wanted: bool) -> Iterator[tuple[int, ...]]:
    """A processor for what is measured: everything that is started meanwhile runs on the others. None of a machine that
    has one only, and when it is not wanted."""
    cpus = sorted(os.sched_getaffinity(0))
    if not wanted or len(cpus) < 2:
        yield ()
        return
    os.sched_setaffinity(0, cpus[1:])
    try:
        yield (cpus[0],)
    finally:
        os.sched_setaffinity(0, cpus)


def give_way(pid: int) -> None:
    """What stands for another machine."""
    psutil.Process(pid).nice(BESIDE_NICE)
