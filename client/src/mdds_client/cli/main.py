"""Runs `mdds`: connects, subscribes, shows what comes, ends with an exit code that says why."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence

from mdds_client.cli.arguments import DEFAULT_CHANNELS, parser
from mdds_client.cli.exit_codes import DONE, INTERRUPTED, exit_code, one_line, printable
from mdds_client.cli.json_lines import JsonLines
from mdds_client.cli.ladder import Ladder
from mdds_client.cli.market_table import MarketTable
from mdds_client.cli.screen import Screen, View
from mdds_client.client import AsyncClient
from mdds_client.continuity import Gap
from mdds_client.errors import MddsError
from mdds_client.link import State, StateChange
from mdds_client.requests import SubscribeOptions
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
    as_json = arguments.json or not sys.stdout.isatty()
    reporter = Reporter(lines=as_json)
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # not on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    client = AsyncClient(arguments.url, arguments.key, on_gap=reporter.on_gap, on_state=reporter.on_state, exact=True)
    try:
        async with client:
            subscription = await _subscribe(client, arguments)
            for refused in subscription.errors:
                tell(f"{refused.error.message} ({refused.channel} {refused.symbol}, {refused.error.code})")
            if as_json:
                await _consume(subscription, JsonLines(), arguments=arguments)
            else:
                await _show(subscription, reporter, arguments=arguments)
    except asyncio.CancelledError:
        return INTERRUPTED
    return DONE


async def _subscribe(client: AsyncClient, arguments: argparse.Namespace) -> Subscription:
    options: SubscribeOptions = {"origin": arguments.origin}
    if arguments.command == "book":
        return await client.subscribe("depth", arguments.symbol, **options)
    options["depth"] = arguments.depth
    options["snapshot"] = not arguments.no_snapshot
    options["conflate_ms"] = arguments.conflate_ms
    return await client.subscribe(arguments.channels or DEFAULT_CHANNELS, arguments.symbols, **options)


async def _show(subscription: Subscription, reporter: Reporter, *, arguments: argparse.Namespace) -> None:
    view: View
    if arguments.command == "book":
        view = Ladder(arguments.symbol, board=arguments.board, origin=subscription.origin)
    else:
        view = MarketTable(subscription.channels)
    with Screen(view, footer=lambda: reporter.footer(view)) as screen:
        drawing = asyncio.create_task(screen.run())
        try:
            await _consume(subscription, view, arguments=arguments)
        finally:
            drawing.cancel()
            await asyncio.wait({drawing})


async def _consume(subscription: Subscription, taker: View | JsonLines, *, arguments: argparse.Namespace) -> None:
    """Hand batches to `taker` until the count, the time or the stream is over."""
    left = arguments.count
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(arguments.seconds):
            while left is None or left > 0:
                records = await subscription.batch(min(BATCH_MAX, left or BATCH_MAX))
                if not records:
                    return
                taker.take(records)
                left = None if left is None else left - len(records)


def _has_key(arguments: argparse.Namespace) -> bool:
    try:
        return client_settings(arguments.url, arguments.key, options={}).api_key is not None
    except MddsError:
        return True
