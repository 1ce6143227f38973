"""Runs the simulated exchange as a process without a database: `python -m testbed.exchange_process SPEC`."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

from feeds.simulator.exchange import Exchange
from feeds.simulator.output import FaultPlan, FeedOutput
from feeds.simulator.pacing import burst_of
from feeds.simulator.rules import RULES
from feeds.simulator.runner import Runner, RunPlan
from feeds.simulator.stop import StopFlag
from feeds.simulator.truth import TruthWriter
from testbed.worker_process import feed_of


def main() -> None:
    """SPEC has feed, rate, seed, symbols, truth, summary and, where wanted, duration_s, count, burst, digests."""
    spec = json.loads(Path(sys.argv[1]).read_text())
    feed = feed_of(spec["feed"])
    markets = {feed.name: tuple(market for market in feed.markets if market in RULES)}
    exchange = Exchange(
        markets, symbols=spec["symbols"], seed=spec["seed"], steady=True, depth=spec.get("depth"), unrouted=True
    )
    burst = burst_of(spec["burst"]) if spec.get("burst") else None
    plan = RunPlan(spec["rate"], duration_s=spec.get("duration_s"), count=spec.get("count"), burst=burst)
    with StopFlag() as stop, Path(spec["truth"]).open("wb") as file:
        truth = TruthWriter(file, run={"seed": spec["seed"]}, keep_bytes=not spec.get("digests", False))
        output = FeedOutput(feed, FaultPlan(seed=spec["seed"]), truth=truth)
        gc.freeze()
        path = Path(spec["summary"])

        def report(summary: dict[str, object]) -> None:
            truth.flush()
            _write(path, summary)

        summary = Runner(exchange, [output], plan).run(stop, report=report, report_s=0.5)
        truth.flush()
        output.close()
    _write(path, {**summary, "ended": True})


def _write(path: Path, summary: dict[str, object]) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(summary))
    draft.replace(path)


if __name__ == "__main__":
    main()
