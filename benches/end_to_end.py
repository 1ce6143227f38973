"""`bin/bench end-to-end`: simulator → UDP → capture → RAW → parser → PARSED → gateway → clients, each a process.

Prints the age of records (the kernel's receive time of the datagram → in the client's hands) for raw clients and for a
few of the SDK. Exits with 1 when a client was closed or skipped records, or p99 is over the goal.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil

from benches.fanout_run import Loads, Work, share_ms
from benches.gateway_under_test import GatewayUnderTest, Talker, cpu_s
from benches.pipeline import received_bytes
from benches.precedence import add_priority, give_way
from feeds.simulator.exchange import Exchange

FEED, MARKET, SYMBOLS = "STO", "STO", 50
P99_MS_MAX = 50.0
SETTLE_S = 3.0
LINGER_MS = 5  # the runbook's for a machine that has less processors than work: the clients are on it here
WARM_UP_S = 3  # in which every stream is new to everybody: its records count, their ages do not


class ChosenWork(Work):
    """Follows real tickers."""

    @property
    def names(self) -> list[str]:
        return tickers()


def tickers() -> list[str]:
    """What the simulator trades on the market, and the demo's rows name."""
    [market] = Exchange({FEED: (MARKET,)}, symbols=SYMBOLS).markets
    return [one.listing.ticker for one in market.securities]


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 when nobody lost anything and p99 is within the goal."""
    parser = argparse.ArgumentParser(prog="bin/bench end-to-end", description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000, help="messages per second, each on both lines")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--sdk-clients", type=int, default=4, help="of them with the SDK")
    parser.add_argument("--symbols", type=int, default=5, help="that each client follows")
    parser.add_argument("--channel", default="depth")
    parser.add_argument("--seconds", type=int, default=15)
    add_priority(parser, default=0)
    parser.add_argument(
        "--linger-ms", type=int, default=LINGER_MS, help=f"MDDS_LINGER_MS of the publisher (default {LINGER_MS})"
    )
    options = parser.parse_args(arguments)
    extra = {"MDDS_LINGER_MS": str(options.linger_ms)}
    with (
        tempfile.TemporaryDirectory(prefix="mdds-bench-") as folder,
        GatewayUnderTest(Path(folder), priority=options.priority, extra=extra) as under_test,
    ):
        for name in ("capture", "publisher"):
            under_test.system.start(name, f"run_{name}", "--feed", FEED)
        under_test.system.start("parser", "run_parser")
        under_test.until_listening()
        under_test.until_known(tickers()[-1])
        return _measure(options, under_test)


def _measure(options: argparse.Namespace, under_test: GatewayUnderTest) -> int:
    work = ChosenWork(options.clients - options.sdk_clients, options.symbols, options.rate, options.seconds)
    loads = Loads(
        work, kind="websocket", port=under_test.port, path="/stream/v1", key=under_test.system.key,
        channel=options.channel,
    )  # fmt: skip
    source = random.Random(3)
    spec = {
        "url": under_test.system.stream_url, "key": under_test.system.key, "channel": options.channel,
        "symbols": [source.sample(tickers(), options.symbols) for _ in range(options.sdk_clients)],
    }  # fmt: skip
    sdk = Talker("benches.sdk_clients", json.dumps(spec))
    try:
        sdk.hear()
        time.sleep(SETTLE_S)
        watched = {name: psutil.Process(process.pid) for name, process in under_test.system.processes.items()}
        watched["broker"] = psutil.Process(under_test.broker.pid)
        watched["SDK clients"] = psutil.Process(sdk.process.pid)
        for number, load in enumerate(loads.processes):
            watched[f"raw clients {number}" if number else "raw clients"] = psutil.Process(load.process.pid)
        before = {name: cpu_s(process) for name, process in watched.items()}
        count = str(options.rate * (WARM_UP_S + options.seconds))
        arguments = ["--feed", FEED, "--steady", "--rate", str(options.rate), "--symbols", str(SYMBOLS), "--seed", "1"]
        # Made before they are sent: an exchange makes its messages on other machines.
        arguments += ["--count", count, "--prepared", count, "--json", "--quiet"]
        simulator = under_test.system.start("simulator", "run_simulator", *arguments)
        give_way(simulator.pid)
        while not received_bytes(under_test.system, FEED) and simulator.poll() is None:
            time.sleep(0.1)
        time.sleep(WARM_UP_S)
        loads.tell("clear")
        sdk.tell("clear")
        simulator.wait()
        sent = json.loads(under_test.system.log("simulator").strip().splitlines()[-1])
        cores = {name: (cpu_s(process) - before[name]) / sent["elapsed_s"] for name, process in watched.items()}
        time.sleep(SETTLE_S)
        sdk_ages = Counter({int(age): count for age, count in json.loads(sdk.ask("stop")).items()})
        report = loads.report()
    finally:
        sdk.close()
        loads.close()
    ages = Counter({int(age): count for age, count in report["ages_us"].items()})
    print(f"{platform.node()}: {sent['rate']:,.0f} messages/s on two lines, {options.clients} clients")
    print(f"{sum(report['records']):,} records to the raw clients; cores: {_words(cores)}")
    for name, found in (("raw clients", ages), ("SDK callbacks", sdk_ages)):
        shares = ", ".join(f"{word} {share_ms(found, share):.1f} ms" for word, share in (("p50", 0.5), ("p99", 0.99)))
        print(f"kernel receive time to {name}, {found.total():,} records: {shares}")
    late = [found for found in (ages, sdk_ages) if not found or share_ms(found, 0.99) > P99_MS_MAX]
    if late:
        print(f"MISSED p99 of at most {P99_MS_MAX:.0f} ms")
    if report["closed"] or report["notices"]:
        print(f"WRONG {report['closed']} clients closed, notices {dict(report['notices'])}")
    return 1 if late or report["closed"] or report["notices"] else 0


def _words(cores: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.2f}" for name, share in cores.items())
