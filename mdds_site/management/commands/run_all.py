"""Runs the embedded default: the whole service in one process."""

from __future__ import annotations

import gc
import logging
import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from feeds.capture.cursor import CursorRefused
from feeds.feed_rows import UnknownFeed
from feeds.journal.writer import JournalLocked
from feeds.worker import run_workers


class Command(BaseCommand):
    help = "Runs the whole service in one process (SQLite, bus in memory); with the simulated exchange beside it."

    def add_arguments(self, parser: CommandParser) -> None:
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--simulator", action="store_true", help="with the simulated exchange")
        group.add_argument("--no-simulator", action="store_false", dest="simulator", help="without it (default)")
        parser.add_argument(
            "--rate", type=int, default=300, metavar="N", help="the exchange's messages/s (default 300)"
        )

        parser.add_argument(
            "--say-from", type=int, metavar="FD", help="print the lines of this file descriptor too, once it listens"
        )

    def handle(self, *, simulator: bool, rate: int, say_from: int | None, **_: Any) -> None:
        mdds = settings.MDDS
        greeting = _read_all(say_from) if say_from is not None else ""
        if not mdds.embedded:
            raise CommandError(f"MDDS_BUS is {mdds.bus_url.split('@')[-1]!r}: run_all is for memory://; see the README")
        # The applications are imported here: asgi.py loads Django's apps, which this command runs in already.
        from mdds_site.asgi import application
        from mdds_site.embedded import SimulatorProcess, embedded_workers

        def say() -> None:
            host = "127.0.0.1" if mdds.host in ("0.0.0.0", "::") else mdds.host
            self.stdout.write(greeting, ending="")
            self.stdout.write(f"portal: http://{host}:{mdds.base_port}/portal/")
            self.stdout.write(f"stream: ws://{host}:{mdds.base_port}/stream/v1")
            self.stdout.flush()

        try:
            workers = embedded_workers(mdds, application, say)
        except (UnknownFeed, CursorRefused, JournalLocked) as error:
            raise CommandError(str(error)) from error
        if simulator:
            arguments = ["--rate", str(rate), "--quiet"]
            workers.append(SimulatorProcess(settings.BASE_DIR / "manage.py", arguments))
        gc.collect()
        gc.freeze()  # what is loaded now stays: the collector need not walk it again
        logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
        run_workers(workers, metrics_port=mdds.metrics_port("gateway"), priority=mdds.priority)


def _read_all(descriptor: int) -> str:
    try:
        with os.fdopen(descriptor) as file:
            return file.read()
    except OSError as error:
        raise CommandError(f"--say-from {descriptor}: {error.strerror}") from error
