"""Runs the simulated exchange as a process without a database: `python -m testbed.exchange_process SPEC`."""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from feeds.simulator.cap import parse_cap
from feeds.simulator.exchange import Exchange
from feeds.simulator.message import Message
from feeds.simulator.output import FaultPlan, FeedOutput
from feeds.simulator.pacing import Pace, burst_of
from feeds.simulator.rules import RULES
from feeds.simulator.runner import Runner, RunPlan
from feeds.simulator.stop import StopFlag
from feeds.simulator.truth import TruthWriter
from testbed.invariants.identity import identity_of
from testbed.worker_process import feed_of

TICK_S = 0.005
REPORT_S = 0.5
COPIES_MAX = 10_000  # datagrams of a recording remembered, past it the oldest is forgotten: its copy is sent as well
Report = Callable[[dict[str, object]], None]


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

        if spec.get("cap"):
            options = {"rate": spec["rate"], "stop": stop, "report": report, "seconds": spec.get("duration_s")}
            summary = _play(Path(spec["cap"]), output, **options)
        else:
            summary = Runner(exchange, [output], plan).run(stop, report=report, report_s=REPORT_S)
        truth.flush()
        output.close()
    _write(path, {**summary, "ended": True})


def _play(
    path: Path, output: FeedOutput, *, rate: float, stop: StopFlag, report: Report, seconds: float | None
) -> dict[str, object]:
    """A recording, once, at `rate` datagrams a second on both lines; its truth as of messages of the exchange."""
    pace, waiting = Pace(rate), _messages(path, output.name)
    began = reported = time.monotonic()
    summary: dict[str, object] = {}
    while not stop() and (seconds is None or time.monotonic() - began < seconds):
        count = pace.due(time.monotonic_ns())
        due = list(islice(waiting, count))
        now_ns = time.time_ns()
        for sender, datagrams in output.plan(due, now_ns):
            sender.offer(datagrams, now_ns)
        elapsed_s = max(time.monotonic() - began, TICK_S)
        rate_now = output.messages / elapsed_s
        summary = {"messages": output.messages, "elapsed_s": elapsed_s, "rate": rate_now}
        summary["feeds"] = {output.name: output.summary()}
        if len(due) < count:
            break
        if time.monotonic() - reported >= REPORT_S:
            reported = time.monotonic()
            report(summary)
        time.sleep(TICK_S)
    return summary


def _messages(path: Path, feed: str) -> Iterator[Message]:
    """The recording's datagrams; the second line's copy of one is left out, both lines get each."""
    recent: dict[bytes, None] = {}
    with path.open("rb") as lines:
        for datagram in parse_cap(lines):
            if datagram.data in recent:
                continue
            recent[datagram.data] = None
            if len(recent) > COPIES_MAX:
                del recent[next(iter(recent))]
            found = identity_of(datagram.data)
            market, stream, sequence, msg_type = found or ("", "", 0, "")
            yield Message(feed, market, stream, sequence, msg_type, "", datagram.data)


def _write(path: Path, summary: dict[str, object]) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(summary))
    draft.replace(path)


if __name__ == "__main__":
    main()
