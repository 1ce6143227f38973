"""Runs `mdds`: connects, subscribes, shows what comes, ends with an exit code that says why."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence

from mdds_client.book import MAIN_BOARD
from mdds_client.cli.arguments import DEFAULT_CHANNELS, parser
from mdds_client.cli.bench import run_bench
from mdds_client.cli.doctor import Doctor
from mdds_client.cli.exit_codes import DONE, INTERRUPTED, exit_code, one_line, printable
from mdds_client.cli.json_lines import JsonLines
from mdds_client.cli.ladder import Ladder
from mdds_client.cli.market_table import MarketTable
from mdds_client.cli.screen import Screen, View
from mdds_client.cli.tables import show_symbols, show_usage
from mdds_client.client import AsyncClient
from mdds_client.continuity import Gap
from mdds_client.errors import MddsError
from mdds_client.link import State, StateChange
from mdds_client.replays import Replay
from mdds_client.requests import ReplayOptions, SubscribeOptions
from mdds_client.settings import client_settings
from mdds_client.subscription import BATCH_MAX, Subscription


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        return asyncio.run(_run(arguments))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        JsonLines.abandon()
        return DONE
    except MddsError as error:
        print(one_line(error, has_key=_has_key(arguments)), file=sys.stderr)
        return exit_code(error)


class Reporter:
    """What the connection has to say: lines on stderr beside JSON, a footer below a screen."""

    def __init__(self, *, lines: bool) -> None:
        self._lines = lines
        self._change = StateChange(State.CONNECTING)
        self._was_live = False
        self.gaps = 0
        self.missing = 0

    def on_state(self, change: StateChange) -> None:
        self._change = change
        if self._lines and self._was_live and change.state in (State.RECONNECTING, State.LIVE):
            tell(str(change) if change.state is State.RECONNECTING else "live again")
        self._was_live = self._was_live or change.state is State.LIVE

    def on_gap(self, gap: Gap) -> None:
        self.gaps += 1
        self.missing += gap.count or 0
        if self._lines:
            end = "?" if gap.count is None else gap.last
            tell(f"gap: {gap.channel} {gap.symbol} {gap.first}..{end} {gap.why}")

    def footer(self, view: View) -> str:
        state = self._change.state.value if self._change.state is State.LIVE else str(self._change)
        gaps = f"   gaps: {self.gaps}, {self.missing:,} missing" if self.gaps else ""
        return f"{state}   records: {view.records:,}{gaps}   Ctrl-C ends"


def tell(text: str) -> None:
    print(f"mdds: {printable(text)}", file=sys.stderr, flush=True)


async def _run(arguments: argparse.Namespace) -> int:
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # not on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        match arguments.command:
            case "symbols":
                return await show_symbols(arguments)
            case "usage":
                return await show_usage(arguments)
            case "doctor":
                return await Doctor(arguments).run()
            case "bench":
                return await run_bench(arguments)
            case _:
                return await _stream(arguments)
    except asyncio.CancelledError:
        return INTERRUPTED


async def _stream(arguments: argparse.Namespace) -> int:
    as_json = arguments.json or not sys.stdout.isatty()
    reporter = Reporter(lines=as_json)
    client = AsyncClient(arguments.url, arguments.key, on_gap=reporter.on_gap, on_state=reporter.on_state, exact=True)
    async with client:
        source: Subscription | Replay
        if arguments.command == "replay":
            options: ReplayOptions = {"speed": arguments.speed, "then": arguments.then, "depth": arguments.depth}
            times = {"start": arguments.start, "end": arguments.end}
            source = await client.replay(arguments.channel, arguments.symbols, **times, **options)
        else:
            source = await _subscribe(client, arguments)
            for refused in source.errors:
                tell(f"{refused.error.message} ({refused.channel} {refused.symbol}, {refused.error.code})")
        if as_json:
            await _consume(source, JsonLines(), arguments=arguments)
        else:
            await _show(client, source, reporter=reporter, arguments=arguments)
    return DONE


async def _subscribe(client: AsyncClient, arguments: argparse.Namespace) -> Subscription:
    options: SubscribeOptions = {"origin": arguments.origin}
    if arguments.command == "book":
        options["depth"] = arguments.depth
        return await client.subscribe("book", arguments.symbol, **options)
    options["depth"] = arguments.depth
    options["snapshot"] = not arguments.no_snapshot
    options["conflate_ms"] = arguments.conflate_ms
    return await client.subscribe(arguments.channels or DEFAULT_CHANNELS, arguments.symbols, **options)


async def _show(
    client: AsyncClient, source: Subscription | Replay, *, reporter: Reporter, arguments: argparse.Namespace
) -> None:
    view = _view(source, arguments)
    gaps = 0

    async def repair() -> None:
        """A ladder whose deltas broke off needs a snapshot."""
        nonlocal gaps
        if isinstance(view, Ladder) and isinstance(source, Subscription) and view.book.gaps > gaps:
            gaps = view.book.gaps
            await client.renew(source)

    with Screen(view, footer=lambda: reporter.footer(view)) as screen:
        drawing = asyncio.create_task(screen.run())
        try:
            await _consume(source, view, arguments=arguments, after=repair)
        finally:
            drawing.cancel()
            await asyncio.wait({drawing})


def _view(source: Subscription | Replay, arguments: argparse.Namespace) -> View:
    """A ladder for the book of one symbol, a table for everything else."""
    stage = source.stages[0] if isinstance(source, Replay) else source
    one = len(stage.symbols) == 1 and not stage.symbols[0].endswith("*")
    if one and len(stage.channels) == 1 and stage.channels[0] in ("book", "depth"):
        board = getattr(arguments, "board", MAIN_BOARD)
        return Ladder(stage.symbols[0], board=board, origin=stage.origin)
    return MarketTable(stage.channels)


async def _consume(
    source: Subscription | Replay,
    taker: View | JsonLines,
    *,
    arguments: argparse.Namespace,
    after: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Hand batches to `taker` until the count, the time or the stream is over."""
    left = arguments.count
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(arguments.seconds):
            while left is None or left > 0:
                records = await source.batch(min(BATCH_MAX, left or BATCH_MAX))
                if not records:
                    return
                taker.take(records)
                if after is not None:
                    await after()
                left = None if left is None else left - len(records)


def _has_key(arguments: argparse.Namespace) -> bool:
    try:
        return client_settings(arguments.url, arguments.key, options={}).api_key is not None
    except MddsError:
        return True
