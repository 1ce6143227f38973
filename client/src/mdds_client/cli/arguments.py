"""The arguments of `mdds`, parsed and checked."""

from __future__ import annotations

import argparse

from mdds_client.book import MAIN_BOARD
from mdds_client.settings import DEFAULT_URL
from mdds_client.version import __version__

EPILOG = """\
environment: MDDS_URL, MDDS_API_KEY
exit codes:  0 done   2 usage   3 authentication   4 not entitled or unknown symbol   5 connection   130 Ctrl-C
"""
SUB_EPILOG = """\
examples:
  mdds sub FPT VNM --ch depth --ch trade       a live table
  mdds sub '*' --ch trade --json --count 100   one JSON record a line
  mdds sub FPT --ch trade --origin replay:12   follow a replay
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
    sub.add_argument("--depth", type=_at_least_1, metavar="LEVELS", help="levels of the book")
    sub.add_argument("--no-snapshot", action="store_true", help="do not start with the last images")
    _add_common(sub)
    book = commands.add_parser("book", help="a live depth ladder", description="A live depth ladder of one symbol.")
    book.add_argument("symbol", metavar="SYMBOL", help="a ticker")
    book.add_argument("--board", default=MAIN_BOARD, help="the board whose book is shown (default: %(default)s)")
    _add_common(book)
    return top


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="one JSON record a line, as received (default in a pipe)")
    command.add_argument("--count", type=_at_least_1, metavar="N", help="end after N records")
    command.add_argument("--seconds", type=_seconds, metavar="S", help="end after S seconds")
    command.add_argument("--origin", metavar="ORIGIN", help="live (default) or replay:NUMBER")
    command.add_argument("--url", metavar="URL", help=f"the stream (default: MDDS_URL, else {DEFAULT_URL})")
    command.add_argument("--key", metavar="KEY", help="the API key; better MDDS_API_KEY, which other users cannot see")


def _at_least_1(text: str) -> int:
    return _number(text, least=1)


def _at_least_0(text: str) -> int:
    return _number(text, least=0)


def _number(text: str, *, least: int) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0, got {text!r}")
    return seconds
