"""`bin/bench fanout`: PARSED on a real RabbitMQ → one gateway process → many WebSocket clients, and others' fan-out.

Prints records delivered a second, the gateway's cores, deliveries per CPU second, the age of records at the clients
(published → received), and holds what every client got against what was published for it. With `--compare` the same
work on nats-server, and a size that they can bear on the stock Channels layers; as ratios. Exits with 1 when a client
is not exact; with `--goals` also when the goals of the issue are missed.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benches import stages
from benches.fanout_run import Loads, Outcome, Work, measure
from benches.gateway_under_test import GatewayUnderTest, Talker
from benches.precedence import add_priority, processor_apart
from benches.stock_layers import LAYERS, on_layer
from testbed.nats import PrivateNats
from testbed.process import ServiceMissing

SHAPES = ((1_000, 20), (50, 400), (1_000, 5))
STOCK = {"clients": 100, "symbols": 20, "rate": 400}  # 2,000 deliveries/s
PER_S_MIN, CORES_MAX, BESIDE_FLUSH_MS = 1_000_000, 1.0, 20.0


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 when every client got exactly what it should."""
    parser = argparse.ArgumentParser(prog="bin/bench fanout", description=__doc__)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--symbols", type=int, default=20, help="that each client follows")
    parser.add_argument("--universe", type=int, default=400, help="symbols that there are")
    parser.add_argument("--rate", type=int, default=30_000, help="records per second over all symbols")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument(
        "--flush-ms",
        type=int,
        help="of the gateway (default: 50, and 10 beside others: a frame costs 8 µs, full or not)",
    )
    parser.add_argument("--alike", type=int, default=0, help="different choices of symbols (default: one a client)")
    parser.add_argument("--load-processes", type=int, default=1, dest="processes")
    parser.add_argument("--compare", action="store_true", help="also NATS and the stock Channels layers")
    parser.add_argument("--shapes", action="store_true", help="1,000 × 20, 50 × 400 and 1,000 × 5, each against NATS")
    parser.add_argument("--goals", action="store_true", help="fail when the goals are missed")
    add_priority(parser, default=None)
    parser.add_argument(
        "--own-processor",
        action=argparse.BooleanOptionalAction,
        help="the gateway has one for itself, everything else the others (default: yes, but not beside others)",
    )
    options = vars(parser.parse_args(arguments))
    compare, shapes, goals = options.pop("compare"), options.pop("shapes"), options.pop("goals")
    flush_ms = options.pop("flush_ms") or (10 if compare or shapes else 50)
    priority, apart = options.pop("priority"), options.pop("own_processor")
    if priority is None:
        priority = 0 if compare or shapes else 1
    if apart is None:
        apart = not (compare or shapes)
    work = Work(**options)
    works = [work]
    if shapes:
        works = [Work(**{**options, "clients": clients, "symbols": symbols}) for clients, symbols in SHAPES]
    print(f"{platform.node()}: {psutil.cpu_count()} cores, Python {platform.python_version()}, flush {flush_ms} ms")
    good = True
    for one in works:
        with processor_apart(apart) as cpus:
            ours = gateway(one, flush_ms=flush_ms, priority=priority, cpus=cpus)
        good = _judged(ours, flush_ms=flush_ms, goals=goals and one is works[0]) and good
        if compare or shapes:
            _against_nats(ours)
    if compare:
        _against_stock_layers(ours)
    return 0 if good else 1


def gateway(work: Work, *, flush_ms: int, priority: int, cpus: tuple[int, ...] = ()) -> Outcome:
    """The work on one gateway process."""
    print(f"the gateway alone on processor {cpus[0]}" if cpus else "all on any processor")
    with (
        tempfile.TemporaryDirectory(prefix="mdds-bench-") as folder,
        GatewayUnderTest(Path(folder), flush_ms=flush_ms, priority=priority, cpus=cpus) as under_test,
    ):
        under_test.until_listening()
        injector = _injector(work, under_test.injected_into())
        under_test.until_known(work.names[-1])
        loads = Loads(
            work, kind="websocket", port=under_test.port, path="/stream/v1", key=under_test.system.key, channel="trade"
        )
        try:
            before = stages.read(under_test.metrics_port)
            found = measure("gateway", work, process=under_test.process, loads=loads, publish=_go(injector))
            print(f"in the gateway, {stages.words(before, stages.read(under_test.metrics_port))}")
            return found
        finally:
            loads.close()
            injector.close()


def nats(work: Work) -> Outcome:
    """The same bytes, each record a message of its symbol's subject."""
    server = PrivateNats()
    server.start()
    try:
        injector = _injector(work, {"to": "nats", "port": server.port})
        loads = Loads(work, kind="nats", port=server.port)
        try:
            process = psutil.Process(server.pid)
            return measure("nats-server", work, process=process, loads=loads, publish=_go(injector))
        finally:
            loads.close()
            injector.close()
    finally:
        server.close()


def _injector(work: Work, target: dict[str, Any]) -> Talker:
    spec = target | {"symbols": work.names, "rate": work.rate, "seconds": work.seconds}
    injector = Talker("benches.inject", json.dumps(spec))
    injector.hear()
    return injector


def _go(injector: Talker) -> Any:
    return lambda: json.loads(injector.ask("go"))


def _judged(outcome: Outcome, *, flush_ms: int, goals: bool) -> bool:
    print(outcome.lines())
    for text in outcome.wrong[:10]:
        print(f"NOT EXACT {text}")
    missed = []
    if goals:
        if outcome.per_s < PER_S_MIN:
            missed.append(f"{outcome.per_s:,.0f} records/s, expected at least {PER_S_MIN:,}")
        if outcome.cores > CORES_MAX:
            missed.append(f"{outcome.cores:.2f} cores, expected at most {CORES_MAX}")
        if outcome.age_ms(0.99) > flush_ms + BESIDE_FLUSH_MS:
            missed.append(f"p99 {outcome.age_ms(0.99):.1f} ms, expected at most {flush_ms + BESIDE_FLUSH_MS:.0f}")
    for text in missed:
        print(f"MISSED {text}")
    return not (outcome.wrong or missed)


def _against_nats(ours: Outcome) -> None:
    try:
        theirs = nats(ours.work)
    except ServiceMissing as missing:
        print(f"no comparison with NATS: {missing}")
        return
    print(theirs.lines())
    print(f"  the gateway is at {ours.per_cpu_s / theirs.per_cpu_s:.2f} of nats-server's deliveries per CPU second")


def _against_stock_layers(ours: Outcome) -> None:
    for layer in LAYERS:
        theirs = on_layer(layer, Work(**STOCK, seconds=ours.work.seconds, universe=ours.work.universe))
        print(theirs.lines())
        print(f"  the gateway is at {ours.per_cpu_s / theirs.per_cpu_s:,.0f} times its deliveries per CPU second")
