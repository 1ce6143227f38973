"""Runs one storage process: the last image of every stream from PARSED into Redis."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from feeds.bus.factory import open_bus
from feeds.checks import START_CHECKS
from feeds.worker import run_workers
from subscriptions.cache.redis_images import RedisImages
from subscriptions.cache.worker import StorageWorker


class Command(BaseCommand):
    requires_system_checks = START_CHECKS
    help = "Keeps the last image of every stream in Redis (the hot cache)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--index", type=int, default=0, choices=range(8), help="which storage process of this machine (default 0)"
        )

    def handle(self, *, index: int, **_: Any) -> None:
        mdds = settings.MDDS
        if mdds.embedded:
            raise CommandError("MDDS_BUS is memory://: run_all's gateway has the last images itself")
        if not mdds.redis_url:
            raise CommandError("MDDS_REDIS is empty: there is nothing to keep the images in")
        bus = open_bus(mdds.bus_url, prefix=mdds.prefix, data_dir=mdds.data_dir, partitions=mdds.partitions)
        store = RedisImages(mdds.redis_url, prefix=mdds.prefix)
        worker = StorageWorker(bus, store, name=f"storage-{index}", own_bus=bus)
        run_workers([worker], metrics_port=mdds.metrics_port("storage", index))
