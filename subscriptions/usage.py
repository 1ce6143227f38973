"""Counts what each key receives into its row of the day: a worker beside the gateway, off every session's path."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from channels.db import database_sync_to_async
from django.db import transaction
from django.db.models import F
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from subscriptions.models import Subscriber, UsageDay

log = logging.getLogger(__name__)

LOOK_S = 1.0  # a session that is shorter than this may not be counted
SLICE = 50  # sessions that are looked at in one go
WRITE_EVERY = 5  # looks between two writes; a killed gateway loses so much

Who = tuple[int, str]  # subscriber id, key's public id
Amounts = Counter[str]  # sessions, records, bytes


class Outbox(Protocol):
    delivered: int
    sent_bytes: int


class Layer(Protocol):
    seats: Mapping[str, Any]


@dataclass(slots=True)
class _Metered:
    """A session, and what of it was counted."""

    seat: Any
    who: Who
    records: int = 0
    size: int = 0


class UsageMeter:
    """Differences of the sessions' own counters. A session that left is read once more: its seat is still at hand."""

    def __init__(self, seats: Callable[[], Mapping[str, Any]]) -> None:
        self._seats = seats
        self._known: dict[str, _Metered] = {}
        self.pending: dict[Who, Amounts] = {}

    def look(self) -> None:
        """Add what was sent since the last look."""
        for _ in self.looks():
            pass

    def looks(self) -> Iterator[None]:
        """The same in slices of sessions, between which the loop may do its work."""
        present, known = self._seats(), self._known
        gone = [name for name in known if name not in present]
        for name, seat in present.items():
            if name in known:
                continue
            grant = seat.session.grant
            if grant is not None and grant.key_id and grant.subscriber_id:
                who = (grant.subscriber_id, grant.key_id)
                known[name] = _Metered(seat, who)
                self.pending.setdefault(who, Counter())["sessions"] += 1
        for place, one in enumerate(list(known.values()), 1):
            self._add(one)
            if place % SLICE == 0:
                yield
        for name in gone:  # who leaves meanwhile is read once more the next time
            del known[name]

    def _add(self, one: _Metered) -> None:
        outbox = one.seat.outbox
        if outbox.sent_bytes == one.size and outbox.delivered == one.records:
            return
        amounts = self.pending.get(one.who)
        if amounts is None:
            amounts = self.pending[one.who] = Counter()
        amounts["records"] += outbox.delivered - one.records
        amounts["bytes"] += outbox.sent_bytes - one.size
        one.records, one.size = outbox.delivered, outbox.sent_bytes

    def take(self) -> dict[Who, Amounts]:
        taken, self.pending = self.pending, {}
        return taken

    def give_back(self, taken: dict[Who, Amounts]) -> None:
        """The write failed: they wait, one entry a key."""
        for who, amounts in taken.items():
            self.pending.setdefault(who, Counter()).update(amounts)


def add(taken: Mapping[Who, Amounts], day: date) -> None:
    """Add to the rows of the day; a subscriber that is gone is passed over."""
    with transaction.atomic():
        known = set(Subscriber.objects.filter(pk__in={who[0] for who in taken}).values_list("pk", flat=True))
        for (subscriber_id, key_id), amounts in taken.items():
            if subscriber_id in known:
                row, _ = UsageDay.objects.get_or_create(subscriber_id=subscriber_id, key_id=key_id, day=day)
                UsageDay.objects.filter(pk=row.pk).update(
                    sessions=F("sessions") + amounts["sessions"],
                    records=F("records") + amounts["records"],
                    bytes=F("bytes") + amounts["bytes"],
                )


class UsageWorker:
    kind = "usage"

    def __init__(self, layer: Layer, *, time_zone: str, name: str = "usage") -> None:
        self.name = name
        self.meter = UsageMeter(lambda: layer.seats)
        self.zone = ZoneInfo(time_zone)
        self.writes = self.failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, with a last write."""
        looks = 0
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_S)
            for _ in self.meter.looks():
                await asyncio.sleep(0)
            looks += 1
            if looks % WRITE_EVERY == 0 or stop.is_set():
                await self._write(datetime.now(self.zone).date())

    async def _write(self, day: date) -> None:
        taken = self.meter.take()
        if not taken:
            return
        try:
            await database_sync_to_async(add, thread_sensitive=False)(taken, day)
            self.writes += 1
        except Exception as error:
            self.failures += 1
            self.meter.give_back(taken)
            log.warning("usage of %d keys waits: %s: %s", len(taken), type(error).__name__, error)

    def metrics(self) -> Iterator[Metric]:
        """For Prometheus, read at each scrape."""
        yield CounterMetricFamily("mdds_usage_writes", "Times that usage was added to its rows.", value=self.writes)
        yield CounterMetricFamily(
            "mdds_usage_write_failures", "Writes of usage that failed; the amounts wait.", value=self.failures
        )
        yield GaugeMetricFamily(
            "mdds_usage_keys_waiting", "Keys whose usage waits to be written.", value=len(self.meter.pending)
        )

    def stats(self) -> dict[str, object]:
        return {"writes": self.writes, "failures": self.failures, "waiting": len(self.meter.pending)}
