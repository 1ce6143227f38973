"""Runs one parser process: RAW to PARSED."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from feeds.bus.factory import open_bus
from feeds.checks import START_CHECKS
from feeds.data_path import parser_worker
from feeds.worker import run_workers


class Command(BaseCommand):
    requires_system_checks = START_CHECKS
    help = "Parses RAW partitions to PARSED. Start several: each partition has one active parser, others stand by."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--partition", action="append", type=int, metavar="N", help="a partition; repeatable (default: all of them)"
        )
        parser.add_argument("--index", type=int, default=0, choices=range(8), help="which parser of this machine")

    def handle(self, *, partition: list[int] | None, index: int, **_: Any) -> None:
        mdds = settings.MDDS
        if mdds.embedded:
            raise CommandError(
                "MDDS_BUS is memory://, which does not leave its process: use run_all, or set MDDS_BUS to amqp://..."
            )
        for number in partition or ():
            if not 0 <= number < mdds.partitions:
                raise CommandError(f"--partition {number}: expected 0 to {mdds.partitions - 1} (MDDS_PARTITIONS)")
        bus = open_bus(mdds.bus_url, prefix=mdds.prefix, data_dir=mdds.data_dir, partitions=mdds.partitions)
        worker = parser_worker(bus, partition or range(mdds.partitions), name=mdds.worker_name("parser", index))
        run_workers([worker], metrics_port=mdds.metrics_port("parser", index), priority=mdds.priority)
