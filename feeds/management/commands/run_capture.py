"""Runs one capture process: UDP lines to journals."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from feeds.capture.tuning import Tuning
from feeds.checks import START_CHECKS
from feeds.data_path import capture_worker, in_a_thread
from feeds.feed_rows import UnknownFeed, load_feeds, reload_feeds
from feeds.worker import run_workers

CAPTURE_NICE = -10


class Command(BaseCommand):
    requires_system_checks = START_CHECKS
    help = "Captures the lines of one or more feeds into their journals."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--feed", action="append", metavar="NAME", help="a feed; repeatable (default: every feed)")
        parser.add_argument("--index", type=int, default=0, choices=range(8), help="which capture of this machine")
        parser.add_argument(
            "--data-dir", type=Path, metavar="FOLDER", help="where the journals are (default: MDDS_DATA)"
        )
        parser.add_argument(
            "--take-over", action="store_true", help="hot restart: take the journals over from the capture that runs"
        )

    def handle(self, *, feed: list[str] | None, index: int, data_dir: Path | None, take_over: bool, **_: Any) -> None:
        mdds = settings.MDDS
        try:
            feeds = load_feeds(feed, partitions=mdds.partitions)
        except UnknownFeed as error:
            raise CommandError(str(error)) from error
        _take_precedence()
        worker = capture_worker(
            feeds,
            data_dir=data_dir or mdds.data_dir,
            prefix=mdds.prefix,
            name=mdds.worker_name("capture", index),
            take_over=take_over,
            tuning=Tuning(mdds.capture_cpus, mdds.capture_priority),
        )
        worker.watch = in_a_thread(partial(reload_feeds, feed, partitions=mdds.partitions))
        run_workers([worker], metrics_port=mdds.metrics_port("capture", index), priority=mdds.priority)


def _take_precedence() -> None:
    """Before everything else on the machine where the system lets us: what the socket's buffer loses is lost."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, CAPTURE_NICE)
