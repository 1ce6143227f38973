"""Runs one publisher process: journals to RAW, with its parsers beside it where that is set."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from feeds.bus.factory import open_bus
from feeds.capture.cursor import CursorRefused
from feeds.checks import START_CHECKS
from feeds.data_path import colocated_parser, publisher_worker
from feeds.feed_rows import UnknownFeed, load_feeds, reload_feeds
from feeds.worker import Worker, run_workers


class Command(BaseCommand):
    requires_system_checks = START_CHECKS
    help = "Follows the journals of one or more feeds, arbitrates their lines, publishes RAW."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--feed", action="append", metavar="NAME", help="a feed; repeatable (default: every feed)")
        parser.add_argument("--index", type=int, default=0, choices=range(8), help="which publisher of this machine")
        parser.add_argument(
            "--data-dir", type=Path, metavar="FOLDER", help="where the journals are (default: MDDS_DATA)"
        )
        parser.add_argument(
            "--with-parser",
            action="store_true",
            help="parse in this process, PARSED first, RAW beside it: the lowest latency (default: MDDS_COLOCATED)",
        )

    def handle(self, *, feed: list[str] | None, index: int, data_dir: Path | None, with_parser: bool, **_: Any) -> None:
        mdds = settings.MDDS
        colocated = with_parser or mdds.colocated
        if mdds.embedded:
            raise CommandError(
                "MDDS_BUS is memory://, which does not leave its process: use run_all, or set MDDS_BUS to amqp://..."
            )
        bus = open_bus(mdds.bus_url, prefix=mdds.prefix, data_dir=mdds.data_dir, partitions=mdds.partitions)
        try:
            feeds = load_feeds(feed, partitions=mdds.partitions)
            place = data_dir or mdds.data_dir
            watch = partial(reload_feeds, feed, partitions=mdds.partitions)
            worker = publisher_worker(
                feeds, bus, data_dir=place, prefix=mdds.prefix, watch=watch, linger_ms=mdds.linger_ms
            )
            worker.name = mdds.worker_name("publisher", index)
        except (UnknownFeed, CursorRefused) as error:
            raise CommandError(str(error)) from error
        workers: list[Worker] = [worker]
        if colocated:
            if mdds.host_name:
                raise CommandError(
                    "MDDS_HOST_NAME makes this one of a hot-hot pair, whose parsers take both publishers' RAW: "
                    "run them without --with-parser and MDDS_COLOCATED"
                )
            workers.append(colocated_parser(worker, mdds.partitions, name=mdds.worker_name("parser-beside", index)))
        elif mdds.host_name:
            worker.pair()
        run_workers(workers, metrics_port=mdds.metrics_port("publisher", index), priority=mdds.priority)
