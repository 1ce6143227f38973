"""Builds the gateway worker from the service's settings, the same for the embedded process and for one of its own."""

from __future__ import annotations

import uuid
from typing import Protocol

from channels.layers import channel_layers

from feeds.bus.base import Bus
from subscriptions.cache.redis_sessions import RedisSessionCounts
from subscriptions.gateway.edges import database_edges
from subscriptions.gateway.layer import GatewaySettings, stream_layer
from subscriptions.gateway.worker import GatewayWorker


class ServiceSettings(Protocol):
    """What a gateway is told from outside (`settings.MDDS`)."""

    base_port: int
    tls: bool
    allowed_hosts: tuple[str, ...]
    origins: tuple[str, ...]
    flush_ms: int
    outbox_bytes_max: int
    heartbeat_s: int
    sessions_max: int
    sessions_per_address_max: int
    redis_url: str
    prefix: str


def configured_gateway(
    bus: Bus, mdds: ServiceSettings, *, name: str = "gateway", own_bus: Bus | None = None
) -> GatewayWorker:
    """A gateway on `bus`; pages of the portal may open its stream, whatever host name they were reached by.

    With Redis it counts sessions together with all other gateways of the system.
    """
    counts = None
    if mdds.redis_url:
        counts = RedisSessionCounts(mdds.redis_url, prefix=mdds.prefix, gateway=f"{name}.{uuid.uuid4().hex[:12]}")
    scheme = "https" if mdds.tls else "http"
    portal_origins = tuple(f"{scheme}://{host}:{mdds.base_port}" for host in mdds.allowed_hosts)
    return GatewayWorker(
        bus,
        layer=stream_layer(),
        edges=database_edges(control=channel_layers["control"], counts=counts),
        settings=GatewaySettings(
            flush_ms=mdds.flush_ms,
            outbox_bytes_max=mdds.outbox_bytes_max,
            heartbeat_s=mdds.heartbeat_s,
            sessions_max=mdds.sessions_max,
            sessions_per_address_max=mdds.sessions_per_address_max,
            origins=(*mdds.origins, *portal_origins),
        ),
        name=name,
        own_bus=own_bus,
    )
