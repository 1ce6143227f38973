"""The gateway worker: intake, flush ticker, sweeper and rights watch over one stream layer."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from feeds.bus.base import Bus
from subscriptions.cache.store import ImageStore
from subscriptions.cache.warm import warm
from subscriptions.gateway import metrics, replies, ticker
from subscriptions.gateway.consumer import StreamConsumer
from subscriptions.gateway.delayed import Delayed
from subscriptions.gateway.edges import GatewayEdges
from subscriptions.gateway.intake import Intake, ParsedSource
from subscriptions.gateway.layer import GatewaySettings, StreamLayer
from subscriptions.gateway.looks import LOOK_S, Looks
from subscriptions.gateway.raw import RawDesk, RawSource
from subscriptions.gateway.replays import ReplayDesk
from subscriptions.gateway.rights import RightsWatch
from subscriptions.gateway.shared_sessions import SharedSessions
from subscriptions.gateway.status import drops, gateway_counts, session_rows

log = logging.getLogger(__name__)

SWEEP_S = 1.0
INSTRUMENTS_S = 15.0  # between two readings while nothing new is named
INSTRUMENTS_NEW_S = 2.0  # between two readings while records name symbols that were not named before
RATES_OVER_S = 1.0


class GatewaySource(ParsedSource, RawSource, Protocol):
    """The part of the bus that a gateway uses."""


class GatewayWorker:
    kind = "gateway"

    def __init__(
        self,
        bus: GatewaySource,
        *,
        layer: StreamLayer,
        settings: GatewaySettings,
        edges: GatewayEdges,
        name: str = "gateway",
        own_bus: Bus | None = None,
    ) -> None:
        """`own_bus`: a bus that nobody else opens and closes; None when `bus` is open already."""
        self.name = name
        self.own_bus = own_bus
        self.layer = layer
        layer.settings = settings
        self.intake = Intake(bus, layer=layer, name=name)
        self.edges = edges
        self.rights = RightsWatch(layer, keys=edges.keys, control=edges.control, journal=edges.journal)
        self.delayed = Delayed(layer, source=bus, read_delays=edges.read_delays)
        self.intake.on_live = self.delayed.take
        self.raw = RawDesk(bus, layer=layer, delayed=self.delayed, name=name)
        self.replays = ReplayDesk(layer, raw_ready=self.raw.ready)
        self.shared: SharedSessions | None = None
        if edges.counts is not None:
            self.shared = SharedSessions(edges.counts, local=layer.sessions, send=edges.control.group_send)
        self.images: ImageStore | None = None  # a hot cache to warm up from
        self._carrier = metrics.Carrier()
        self._rates: dict[str, float] = {"records_in": 0.0, "delivered": 0.0, "sent_bytes": 0.0}
        self._before: dict[str, int] = {}
        self._looks = Looks(layer, heartbeat=self._heartbeat)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; the sessions themselves are closed by the server."""
        StreamConsumer.keys, StreamConsumer.replays = self.edges.keys, self.replays
        self.layer.admission.sessions_used = self.rights.account.sessions_used
        self.layer.admission.shared = self.shared
        tasks: list[asyncio.Task[None]] = []
        try:
            if self.own_bus is not None:
                await self.own_bus.open()
            if self.images is not None:
                await warm(self.layer.hub, self.images)
            async with asyncio.TaskGroup() as group:
                for name, job in (
                    ("intake", self.intake.run()), ("flush", ticker.run(self.layer)), ("sweep", self._sweep()),
                    ("looks", self._look()),
                    ("instruments", self._refresh_instruments()), ("rights", self.rights.run()),
                    ("delayed", self.delayed.run()), ("replays", self.replays.run()), ("raw", self.raw.run()),
                ):  # fmt: skip
                    tasks.append(group.create_task(job, name=f"{self.name} {name}"))
                if self.shared is not None:
                    tasks.append(group.create_task(self.shared.run(), name=f"{self.name} session counts"))
                await stop.wait()
                self.layer.shut_down()
                for task in tasks:
                    task.cancel()
        finally:
            StreamConsumer.keys = StreamConsumer.replays = self.layer.admission.shared = None
            self.edges.keys.close()
            if self.own_bus is not None:
                await self.own_bus.close()

    def stats(self) -> dict[str, object]:
        counts = gateway_counts(self.layer, self.intake)
        return {
            **counts,
            "records_out": counts["delivered"],
            "bytes_out": counts["sent_bytes"],
            "dropped": drops(counts),
            "clients": len(self.layer.seats),
            "subscriptions": self.layer.hub.follows,
            "streams": sum(len(streams) for streams in self.layer.hub.origins.values()),
            "instruments": len(self.layer.catalog),
            "records_in_per_s": round(self._rates["records_in"]),
            "records_out_per_s": round(self._rates["delivered"]),
            "bytes_out_per_s": round(self._rates["sent_bytes"]),
            "control_up": self.rights.control_up,
            "rights_journal_up": self.rights.journal_up,
            "rights_ended": self.rights.ended,
            "session_counts_up": self.shared.up if self.shared is not None else None,
            "banned": self.layer.admission.bad_keys.banned,
            "taken_over": self.layer.admission.taken_over,
            "delayed_released": self.delayed.released,
            "delayed_skipped": self.delayed.line.records_skipped,
            "delayed_queued_bytes": self.delayed.line.queued_bytes,
            "raw": self.raw.counts(),
            "feeds": self.intake.feeds.shown(now_ns=self.layer.clock_ns()),
            "errors": dict(self.layer.totals.errors),
            "closes": {str(code): count for code, count in self.layer.totals.closes.items()},
            "sessions": session_rows(self.layer),
        }

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._looks.look(self.layer.clock_ns())

    def _heartbeat(self, now_ns: int) -> bytes:
        return replies.heartbeat(self.intake.feeds.shown(now_ns=now_ns), at_ns=now_ns)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.layer.hub.catch_up.sweep(self.layer.clock_ns())
            self._carry()

    def _carry(self) -> None:
        counts = gateway_counts(self.layer, self.intake)
        self._carrier.carry(counts)
        self._carrier.carry_raw(self.raw.counts())
        self._carrier.carry_by_label(metrics.ERRORS, self.layer.totals.errors)
        self._carrier.carry_by_label(metrics.CLOSES, {str(code): n for code, n in self.layer.totals.closes.items()})
        for name in self._rates:
            self._rates[name] = (counts[name] - self._before.get(name, 0)) / RATES_OVER_S
        self._before = counts
        outboxes = [seat.outbox for seat in self.layer.seats.values()]
        metrics.SESSIONS.set(len(outboxes))
        metrics.SLOW_SESSIONS.set(sum([outbox.slow for outbox in outboxes]))
        metrics.QUEUED_BYTES.set(sum([outbox.queued_bytes for outbox in outboxes]))
        metrics.SUBSCRIPTIONS.set(self.layer.hub.follows)
        metrics.HISTORY_BYTES.set(counts["history_bytes"])
        metrics.STREAMS.set(len(self.layer.hub.origins["live"]))

    async def _refresh_instruments(self) -> None:
        """New names in records (a name is known at once, its market from here on) mean new rows: read them soon."""
        clock, named, due_s = asyncio.get_running_loop().time, -1, 0.0
        while True:
            now_named = len(self.layer.hub.symbols)
            if (now_named != named or clock() >= due_s) and await self._read_instruments():
                named, due_s = now_named, clock() + INSTRUMENTS_S
            await asyncio.sleep(INSTRUMENTS_NEW_S)

    async def _read_instruments(self) -> bool:
        """False when the database fails; the catalog stays as it was."""
        try:
            self.layer.catalog.replace(await self.edges.read_instruments())
        except Exception as error:
            log.warning("instruments not read: %s: %s", type(error).__name__, error)
            return False
        return True
