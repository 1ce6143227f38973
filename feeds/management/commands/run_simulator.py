"""Runs the fake KRX exchange on the lines of one or more feeds."""

import gc
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from feeds.checks import START_CHECKS
from feeds.config import FeedConfig
from feeds.feed_rows import UnknownFeed, load_feeds
from feeds.simulator import options as read
from feeds.simulator.exchange import Exchange
from feeds.simulator.output import FaultPlan, FeedOutput
from feeds.simulator.progress import status_line, summary_line
from feeds.simulator.rules import RULES
from feeds.simulator.runner import DayMode, Runner, RunPlan
from feeds.simulator.sender import LineUnusable
from feeds.simulator.stop import StopFlag
from feeds.simulator.truth import TruthWriter

_COMPRESSED_DAY_S = 300.0
_FAULTS = ("loss", "duplicate", "reorder", "corrupt")


class Command(BaseCommand):
    requires_system_checks = START_CHECKS
    help = "Runs a fake KRX exchange on the lines of one or more feeds, until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--feed", action="append", metavar="NAME", help="a feed; repeatable (default: every feed)")
        parser.add_argument(
            "--symbols", type=read.count_above_zero, default=50, metavar="N", help="per market (default 50)"
        )
        parser.add_argument("--rate", type=read.above_zero, default=500.0, help="messages/s of all feeds (default 500)")
        parser.add_argument("--burst", type=read.burst, metavar="10x:2s:30s", help="factor, length, interval")
        parser.add_argument("--depth", type=read.count_above_zero, help="book levels (default: 3 HOSE, 10 others)")
        parser.add_argument("--unrouted", action="store_true", help="now and then a type without router (MD, M4)")
        parser.add_argument("--no-heartbeat", action="store_true", help="no MV each second")
        parser.add_argument("--pack", type=read.count_above_zero, default=1, metavar="N", help="messages per datagram")
        self._add_time_arguments(parser)
        self._add_fault_arguments(parser)
        parser.add_argument("--truth", type=Path, metavar="FILE", help="log every message and its fate on each line")
        parser.add_argument("--truth-digests", action="store_true", help="log digests instead of whole messages")
        parser.add_argument("--json", action="store_true", help="the closing summary as one JSON line")
        parser.add_argument("--quiet", action="store_true", help="no status lines")

    def _add_time_arguments(self, parser: CommandParser) -> None:
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--steady", action="store_true", help="a continuous session without end (default)")
        group.add_argument(
            "--day", choices=("compressed", "realtime"),
            help="a whole trading day squeezed into --duration seconds, or by the clock in Vietnam",
        )  # fmt: skip
        parser.add_argument("--duration", type=read.above_zero, metavar="SECONDS", help="end after so long")
        parser.add_argument("--count", type=read.count_above_zero, metavar="N", help="end after so many messages")
        parser.add_argument(
            "--prepared", type=read.count_above_zero, metavar="N",
            help="make N messages first (about 1 KB each), then only send them",
        )  # fmt: skip
        parser.add_argument("--seed", type=int, default=1, help="of prices and faults (default 1)")

    def _add_fault_arguments(self, parser: CommandParser) -> None:
        for fault in _FAULTS:
            parser.add_argument(
                f"--{fault}", action="append", default=[], type=read.line_share, metavar="[LINE:]SHARE",
                help=f"share of the datagrams of a line (of each line without LINE) to {fault}",
            )  # fmt: skip
        parser.add_argument(
            "--skew", action="append", default=[], type=read.line_value, metavar="[LINE:]MS", help="delay of a line"
        )
        parser.add_argument(
            "--loss-both", type=read.line_share, default=(None, 0.0), metavar="SHARE", help="lost on both lines alike"
        )
        parser.add_argument(
            "--drop-both", action="append", default=[], type=read.datagram_range, metavar="FIRST-LAST",
            help="datagrams lost on both lines, counted from 1 on each feed, heartbeats not counted",
        )  # fmt: skip

    def handle(self, **options: Any) -> None:
        feeds = _feeds(options["feed"])
        plan = _run_plan(options)
        if options["prepared"] and plan.mode is not DayMode.STEADY:
            raise CommandError("--prepared goes with --steady only: a trading day follows the clock")
        markets = {feed.name: tuple(name for name in feed.markets if name in RULES) for feed in feeds}
        exchange = Exchange(
            markets, symbols=options["symbols"], seed=options["seed"], steady=plan.mode is DayMode.STEADY,
            depth=options["depth"], unrouted=options["unrouted"],
        )  # fmt: skip
        faults = _fault_plan(options)
        with StopFlag() as stop, ExitStack() as stack:
            truth = _open_truth(options, feeds, stack)
            outputs = []
            for feed in feeds:
                try:
                    output = FeedOutput(feed, faults, truth=truth, pack=options["pack"])
                except LineUnusable as error:
                    raise CommandError(f"feed {feed.name}: {error.strerror or error}") from error
                stack.callback(output.close)
                outputs.append(output)
            if not options["quiet"]:
                self.stderr.write(f"simulator: sending to {', '.join(markets)}", str)
            self._run(Runner(exchange, outputs, plan), options, stop=stop)

    def _run(self, runner: Runner, options: dict[str, Any], *, stop: StopFlag) -> None:
        on_terminal = sys.stderr.isatty()

        def report(summary: dict[str, Any]) -> None:
            self.stderr.write(status_line(summary), str, "\r" if on_terminal else "\n")
            self.stderr.flush()

        # nothing made so far will be garbage: keep the collector from walking the books again and again
        gc.freeze()
        if options["prepared"]:
            summary = runner.run_prepared(options["prepared"], stop)
        else:
            shown = None if options["quiet"] else report
            summary = runner.run(stop, report=shown, report_s=2.0 if on_terminal else 30.0)
        if on_terminal and not options["quiet"]:
            self.stderr.write("", str)  # the summary does not overwrite the last status line
        self.stdout.write(json.dumps(summary) if options["json"] else summary_line(summary))


def _feeds(names: list[str] | None) -> list[FeedConfig]:
    """The feeds that have a market the simulator knows; a feed asked for by name must be one."""
    try:
        feeds = load_feeds(list(dict.fromkeys(names)) if names else None)
    except UnknownFeed as error:
        raise CommandError(str(error)) from error
    simulated = [feed for feed in feeds if any(name in RULES for name in feed.markets)]
    for feed in feeds:
        if names and feed not in simulated:
            known = ", ".join(RULES)
            raise CommandError(
                f"feed {feed.name}: at least one of the simulated markets {known} expected, found {feed.markets}"
            )
    if not simulated:
        raise CommandError(f"no enabled feed has one of the simulated markets {', '.join(RULES)}")
    return simulated


def _run_plan(options: dict[str, Any]) -> RunPlan:
    mode = DayMode(options["day"] or "steady")
    duration_s = options["duration"]
    if mode is DayMode.COMPRESSED and duration_s is None:
        duration_s = _COMPRESSED_DAY_S
    return RunPlan(
        rate=options["rate"], mode=mode, duration_s=duration_s, count=options["count"], burst=options["burst"],
        heartbeat=not options["no_heartbeat"],
    )  # fmt: skip


def _fault_plan(options: dict[str, Any]) -> FaultPlan:
    return FaultPlan(
        seed=options["seed"],
        lines=read.fault_rates({fault: options[fault] for fault in _FAULTS}),
        skew_ms=read.per_line(options["skew"]),
        loss_both=options["loss_both"][1],
        drop_both=tuple(options["drop_both"]),
    )


def _open_truth(options: dict[str, Any], feeds: list[FeedConfig], stack: ExitStack) -> TruthWriter | None:
    path: Path | None = options["truth"]
    if path is None:
        return None
    try:
        file = stack.enter_context(path.open("wb"))
    except OSError as error:
        raise CommandError(f"--truth {path}: {error.strerror}") from error
    run = {key: options[key] for key in ("seed", "symbols", "rate", "day", "pack")}
    run["feeds"] = {feed.name: list(feed.markets) for feed in feeds}
    truth = TruthWriter(file, run=run, keep_bytes=not options["truth_digests"])
    stack.callback(truth.flush)
    return truth
