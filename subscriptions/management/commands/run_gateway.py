"""Runs one gateway process: PARSED from the bus to WebSocket clients."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from feeds.bus.factory import open_bus
from feeds.checks import START_CHECKS
from feeds.worker import GC_SESSIONS, run_workers
from subscriptions.cache.redis_images import RedisImages
from subscriptions.gateway.configured import configured_gateway
from subscriptions.gateway.server import GatewayServer
from subscriptions.usage import UsageWorker


class Command(BaseCommand):
    requires_system_checks = START_CHECKS
    help = "Delivers PARSED records to WebSocket clients: one process of a distributed system."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, help="listen here (default: the base port + 1)")
        parser.add_argument(
            "--index", type=int, default=0, choices=range(8), help="which gateway process of this machine (default 0)"
        )
        parser.add_argument("--reuse-port", action="store_true", help="share the port with other gateway processes")

    def handle(self, *, port: int | None, index: int, reuse_port: bool, **_: Any) -> None:
        mdds = settings.MDDS
        if mdds.embedded:
            raise CommandError(
                "MDDS_BUS is memory://, which does not leave its process: use run_all, or set MDDS_BUS to amqp://..."
            )
        # The site's ASGI module is above this one: it is named in the settings, not imported here.
        app = import_string(settings.ASGI_APPLICATION.rpartition(".")[0] + ".gateway_application")
        bus = open_bus(mdds.bus_url, prefix=mdds.prefix, data_dir=mdds.data_dir, partitions=mdds.partitions)
        worker = configured_gateway(bus, mdds, name=f"gateway-{index}", own_bus=bus)
        if mdds.redis_url:
            worker.images = RedisImages(mdds.redis_url, prefix=mdds.prefix)
        server = GatewayServer(
            app,
            host=mdds.host,
            port=port or mdds.gateway_port,
            reuse_port=reuse_port,
            trusted_proxies=mdds.proxies,
        )
        usage = UsageWorker(worker.layer, time_zone=mdds.time_zone, name=f"usage-{index}")
        run_workers(
            [worker, server, usage],
            metrics_port=mdds.metrics_port("gateway", index),
            gc_thresholds=GC_SESSIONS,
            priority=mdds.priority,
            cpus=mdds.gateway_cpus,
        )
