"""`bin/bench connections`: ten thousand authenticated, subscribed sockets on one gateway, and a heartbeat to all.

Prints the time to accept, the memory of a connection, and what a heartbeat to everybody takes. Exits with 1 when a
client was refused, closed, or did not get its heartbeats.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benches.fanout_run import Loads, Work
from benches.gateway_under_test import GatewayUnderTest, Talker, cpu_s
from benches.load import CLIENTS_AN_ADDRESS_MAX

HEARTBEATS = 2  # that everybody has to get
LOG_CHARACTERS = 4_000  # of the gateway's log, when a client was refused
SPARE_FILES = 512  # of the gateway, beside its clients' sockets


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 when every client was served."""
    parser = argparse.ArgumentParser(prog="bin/bench connections", description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--symbols", type=int, default=5, help="that each client follows")
    parser.add_argument("--load-processes", type=int, default=2, dest="processes")
    parser.add_argument("--heartbeat-s", type=int, default=15)
    options = parser.parse_args(arguments)
    missing = _missing(options.clients)
    for line in missing:
        print(f"cannot run: {line}")
    if missing:
        return 2
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the gateway inherits it
    work = Work(options.clients, options.symbols, rate=1, seconds=1, universe=400, processes=options.processes)
    with (
        tempfile.TemporaryDirectory(prefix="mdds-bench-") as folder,
        GatewayUnderTest(Path(folder), extra={"MDDS_HEARTBEAT_S": str(options.heartbeat_s)}) as under_test,
    ):
        under_test.until_listening()
        spec = under_test.injected_into() | {"symbols": work.names, "rate": 1, "seconds": 1}
        injector = Talker("benches.inject", json.dumps(spec))
        try:
            injector.hear()
            under_test.until_known(work.names[-1])
            return _measure(work, under_test, heartbeat_s=options.heartbeat_s)
        except SystemExit:
            print(f"the gateway's log ends with\n{under_test.system.log('gateway')[-LOG_CHARACTERS:]}")
            raise
        finally:
            injector.close()


def _missing(clients: int) -> list[str]:
    """What this machine would have to give, in words."""
    found = []
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < clients + SPARE_FILES:
        found.append(f"the hard limit of open files is {hard:,}, {clients:,} clients need {clients + SPARE_FILES:,}")
    ports = Path("/proc/sys/net/ipv4/ip_local_port_range")
    if ports.exists():
        first, last = (int(number) for number in ports.read_text().split())
        wanted = min(clients, CLIENTS_AN_ADDRESS_MAX)
        if last - first < wanted:
            found.append(f"{ports} gives {last - first + 1:,} ports to an address, {wanted:,} clients share one")
    return found


def _measure(work: Work, under_test: GatewayUnderTest, *, heartbeat_s: int) -> int:
    process = under_test.process
    memory, used, began = process.memory_info().rss, cpu_s(process), time.monotonic()
    loads = Loads(
        work, kind="websocket", port=under_test.port, path="/stream/v1", key=under_test.system.key, channel="trade"
    )
    try:
        opened_s, cpu = time.monotonic() - began, cpu_s(process) - used
        each_kib = (process.memory_info().rss - memory) / work.clients / 1024
        took_ms = sorted(1000 * one for one in loads.took_s)
        print(f"{platform.node()}: {work.clients:,} clients of {work.symbols} streams each")
        print(
            f"opened in {opened_s:.1f} s: {work.clients / opened_s:,.0f}/s, {1000 * cpu / work.clients:.2f} CPU ms each"
            f"; subscribed after p50 {_share(took_ms, 0.5):.0f} ms, p99 {_share(took_ms, 0.99):.0f} ms\n"
            f"memory of the gateway: {memory >> 20} MiB before, {each_kib:.1f} KiB a connection"
        )
        used, began = cpu_s(process), time.monotonic()
        time.sleep(HEARTBEATS * heartbeat_s + 5)
        idle = (cpu_s(process) - used) / (time.monotonic() - began)
        report = loads.report()
    finally:
        loads.close()
    beats = report["heartbeats"]
    print(f"heartbeats: {sum(beats):,}, at least {min(beats)} to each; the gateway used {idle:.2f} cores meanwhile")
    wrong = {"closed": report["closed"], "without heartbeats": sum(one < HEARTBEATS for one in beats)}
    for name, count in wrong.items():
        if count:
            print(f"WRONG {count:,} clients {name}")
    if report["notices"]:
        print(f"notices: {dict(report['notices'])}")
    return 1 if any(wrong.values()) else 0


def _share(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]
