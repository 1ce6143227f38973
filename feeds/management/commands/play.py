"""Sends a `.cap` recording to a feed's lines."""

import argparse
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from feeds.checks import START_CHECKS
from feeds.config import FeedConfig
from feeds.feed_rows import UnknownFeed, load_feeds
from feeds.simulator.cap import BadCapLine, parse_cap
from feeds.simulator.player import LINE_CHOICES, MissingLine, play
from feeds.simulator.sender import LineUnusable
from feeds.simulator.stop import StopFlag


class Command(BaseCommand):
    requires_system_checks = START_CHECKS
    help = "Sends a .cap recording (<rx_ns> <line> <FIX bytes>, one datagram a line) to a feed's lines."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="the recording")
        parser.add_argument("--feed", required=True, help="name of the feed whose lines are sent to")
        parser.add_argument(
            "--speed", type=_speed, default=1.0, metavar="N",
            help="how many times faster than recorded (default 1); 0: as fast as 5,000 datagrams/s",
        )  # fmt: skip
        parser.add_argument(
            "--line", choices=LINE_CHOICES, default="both",
            help="send every datagram to both lines (default), to one of them, or each to the line it was recorded on",
        )  # fmt: skip

    def handle(self, *, file: Path, feed: str, speed: float, line: str, **_: Any) -> None:
        target = _feed(feed)
        total = _check(file)
        on_terminal = sys.stderr.isatty()

        def report(count: int, elapsed_s: float) -> None:
            text = f"play: {count}/{total} datagrams in {elapsed_s:.0f} s"
            self.stderr.write(text, str, "\r" if on_terminal else "\n")
            self.stderr.flush()

        with StopFlag() as stop, file.open("rb") as lines:
            try:
                played = play(target, parse_cap(lines), line=line, speed=speed, stopped=stop, report=report)
            except (LineUnusable, MissingLine) as error:
                raise CommandError(str(error)) from error
            except BadCapLine as error:  # the file was whole a moment ago
                raise CommandError(f"{file}, {error}; the file changed while it was played") from error
        per_line = ", ".join(f"line {name}: {sent}" for name, sent in played.sent.items())
        self.stdout.write(
            f"played {played.datagrams} of {total} datagrams to feed {target.name} in {played.elapsed_s:.1f} s"
            f" ({per_line})"
        )
        if played.datagrams < total:
            raise CommandError("stopped before the end of the recording", returncode=130)


def _feed(name: str) -> FeedConfig:
    try:
        return load_feeds([name])[0]
    except UnknownFeed as error:
        raise CommandError(str(error)) from error


def _check(file: Path) -> int:
    """The number of datagrams. The whole file is read before the first is sent: nothing goes out of a broken one."""
    try:
        with file.open("rb") as lines:
            total = sum(1 for _ in parse_cap(lines))
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from error
    except BadCapLine as error:
        raise CommandError(f"{file}, {error}; nothing was sent") from error
    if total == 0:
        raise CommandError(f"{file}: expected at least one datagram, found an empty file")
    return total


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of 0 or more expected, found {text!r}")
    return speed
