"""The arguments of `mdds`, parsed and checked."""

from __future__ import annotations

import argparse
from typing import Any

from mdds_client.book import MAIN_BOARD
from mdds_client.replays import SPEED_MAX
from mdds_client.settings import DEFAULT_URL
from mdds_client.version import __version__

EPILOG = """\
environment: MDDS_URL, MDDS_API_KEY, MDDS_API_URL
exit codes:  0 done   1 failed   2 usage   3 authentication   4 not entitled, unknown symbol   5 connection   130 Ctrl-C
"""
SUB_EPILOG = """\
examples:
  mdds sub FPT VNM --ch depth --ch trade       a live table
  mdds sub '*' --ch trade --json --count 100   one JSON record a line
  mdds sub FPT --ch trade --origin replay:12   follow a replay
"""
REPLAY_EPILOG = """\
examples:
  mdds replay FPT --start 2026-11-20T02:15:00Z --end 2026-11-20T03:00:00Z --speed 10
  mdds replay FPT --ch depth --start 2026-11-20T02:15 --end 2026-11-20T02:20 --then live
"""
DOCTOR_EPILOG = """\
Looks at the way to the data step by step and says what to do where one fails: settings, DNS, TCP, TLS, authentication,
round trip, clock, feeds, entitlements, and with SYMBOLs their streams and how old their records are.
"""
DEFAULT_CHANNELS = ("depth", "trade")


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="mdds",
        description="Live market data from an MDDS server.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"mdds {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    sub = commands.add_parser(
        "sub",
        help="stream channels of some symbols",
        description="Stream channels of some symbols.",
        epilog=SUB_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub.add_argument("symbols", nargs="+", metavar="SYMBOL", help="a ticker, a prefix ('VN30*') or '*' for all")
    sub.add_argument(
        "--ch",
        action="append",
        dest="channels",
        metavar="CHANNEL",
        help=f"a channel; may be given more than once (default: {' and '.join(DEFAULT_CHANNELS)})",
    )
    sub.add_argument("--conflate-ms", type=_at_least_0, metavar="MS", help="merge images over 50, 100, 250 or 1000 ms")
    sub.add_argument("--depth", type=_depth, metavar="LEVELS", help="levels of the book: 1, 3, 5, 10 or full")
    sub.add_argument("--no-snapshot", action="store_true", help="do not start with the last images")
    _add_common(sub)
    book = commands.add_parser("book", help="a live depth ladder", description="A live depth ladder of one symbol.")
    book.add_argument("symbol", metavar="SYMBOL", help="a ticker")
    book.add_argument("--board", default=MAIN_BOARD, help="the board whose book is shown (default: %(default)s)")
    book.add_argument("--depth", type=_depth, metavar="LEVELS", help="levels of the book: 1, 3, 5, 10 or full")
    _add_common(book)
    _add_replay(commands)
    _add_tools(commands)
    return top


def _add_replay(commands: Any) -> None:
    replay = commands.add_parser(
        "replay",
        help="play the past again",
        description="Play a time range of one channel again.",
        epilog=REPLAY_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    replay.add_argument("symbols", nargs="+", metavar="SYMBOL", help="a ticker")
    replay.add_argument("--ch", dest="channel", default="trade", metavar="CHANNEL", help="default: %(default)s")
    replay.add_argument("--start", required=True, metavar="TIME", help="ISO time, UTC unless it names a zone")
    replay.add_argument("--end", metavar="TIME", help="ISO time, UTC unless it names a zone (default: now)")
    replay.add_argument("--depth", type=_depth, metavar="LEVELS", help="levels of the book: 1, 3, 5, 10 or full")
    replay.add_argument(
        "--speed", type=_speed, default=1.0, metavar="X", help="1 as it was (default), 0 without pauses"
    )
    replay.add_argument("--then", choices=("live",), help="go on with the live stream")
    _add_output(replay)
    _add_server(replay)


def _add_tools(commands: Any) -> None:
    symbols = commands.add_parser("symbols", help="list instruments", description="List the instruments.")
    symbols.add_argument(
        "query", nargs="?", default="", metavar="TEXT", help="beginning of a symbol or ISIN, or a name"
    )
    symbols.add_argument("--market", metavar="MARKET", help="STO, STX, UPX, DVX, …")
    symbols.add_argument("--limit", type=_at_least_1, metavar="N", help="at most N")
    usage = commands.add_parser("usage", help="what this key has used", description="What this subscriber has used.")
    doctor = commands.add_parser(
        "doctor",
        help="find out why there is no data",
        description=DOCTOR_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument("symbols", nargs="*", metavar="SYMBOL", help="check the streams of these, too")
    doctor.add_argument("--ch", dest="channels", action="append", metavar="CHANNEL", help="default: depth")
    doctor.add_argument("--wait", type=_seconds, default=5.0, metavar="S", help="seconds to wait for a record (5)")
    bench = commands.add_parser(
        "bench", help="measure rates and latency", description="Open many clients and measure what they receive."
    )
    bench.add_argument("symbols", nargs="+", metavar="SYMBOL", help="a ticker, a prefix or '*'")
    bench.add_argument("--ch", action="append", dest="channels", metavar="CHANNEL", help="default: depth and trade")
    bench.add_argument("--clients", type=_at_least_1, default=10, metavar="N", help="default: %(default)s")
    bench.add_argument("--seconds", type=_seconds, default=10.0, metavar="S", help="default: %(default)g")
    bench.add_argument("--encoding", choices=("json", "msgpack"), default="json", help="default: %(default)s")
    for command in (symbols, usage, doctor, bench):
        command.add_argument("--json", action="store_true", help="the result as JSON")
        _add_server(command)


def _add_common(command: argparse.ArgumentParser) -> None:
    _add_output(command)
    command.add_argument("--origin", metavar="ORIGIN", help="live (default) or replay:NUMBER")
    _add_server(command)


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="one JSON record a line, as received (default in a pipe)")
    command.add_argument("--count", type=_at_least_1, metavar="N", help="end after N records")
    command.add_argument("--seconds", type=_seconds, metavar="S", help="end after S seconds")


def _add_server(command: argparse.ArgumentParser) -> None:
    command.add_argument("--url", metavar="URL", help=f"the stream (default: MDDS_URL, else {DEFAULT_URL})")
    command.add_argument("--key", metavar="KEY", help="the API key; better MDDS_API_KEY, which other users cannot see")


def _at_least_1(text: str) -> int:
    return _number(text, least=1)


def _depth(text: str) -> int | str:
    return text if text == "full" else _number(text, least=1)


def _at_least_0(text: str) -> int:
    return _number(text, least=0)


def _number(text: str, *, least: int) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    seconds = _float(text)
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0, got {text!r}")
    return seconds


def _speed(text: str) -> float:
    speed = _float(text)
    if not 0 <= speed <= SPEED_MAX:
        raise argparse.ArgumentTypeError(f"expected a speed of 0 to {SPEED_MAX:g}, got {text!r}")
    return speed


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0
