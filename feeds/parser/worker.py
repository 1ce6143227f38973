"""The parser worker: its partitions, live and replay, over one bus."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence

from feeds.bus.base import Bus
from feeds.parser.counts import ParserCounts
from feeds.parser.latency import quantile_ms
from feeds.parser.partition import PartitionParser
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator

log = logging.getLogger(__name__)

LEARNED_MAX = 20_000  # definitions that wait to be saved; past it the newest are left to the next day's `d`
SAVE_S = 1.0

Save = Callable[[Sequence[str]], int]


class ParserWorker:
    """Parses `partitions`. `save` stores learnt definitions (records of channel `definition`), in a thread."""

    kind = "parser"

    def __init__(
        self, bus: Bus, partitions: Sequence[int], tickers: dict[str, str], *, save: Save | None, name: str = "parser"
    ) -> None:
        self.name = name
        self.bus = bus
        self.counts = ParserCounts()
        self.translator = Translator()
        self.learned_dropped = 0
        self._save = save
        self._learned: list[str] = []
        self.owner = f"{socket.gethostname()}.{os.getpid()}.{name}"
        self.parsers = [
            PartitionParser(
                bus,
                Pipeline(partition, tickers, translator=self.translator, counts=self.counts),
                self.owner,
                replay=replay,
                learned=self._learn,
            )
            for partition in partitions
            for replay in (False, True)
        ]

    async def run(self, stop: asyncio.Event) -> None:
        await self.bus.open()
        async with asyncio.TaskGroup() as group:
            saving = group.create_task(self._keep_saving(), name="save definitions")
            parsing = [group.create_task(parser.run(stop), name=parser.key) for parser in self.parsers]
            await asyncio.wait(parsing)
            saving.cancel()
        await self._save_learned()

    def _learn(self, definitions: list[str]) -> None:
        room = LEARNED_MAX - len(self._learned)
        self._learned += definitions[:room]
        self.learned_dropped += max(0, len(definitions) - room)

    async def _keep_saving(self) -> None:
        while True:
            await asyncio.sleep(SAVE_S)
            await self._save_learned()

    async def _save_learned(self) -> None:
        if not self._learned or self._save is None:
            return
        learned, self._learned = self._learned, []
        try:
            await asyncio.to_thread(self._save, learned)
        except Exception:
            # The database is not part of the data path: the records went out, the rows come with the next definitions.
            log.exception("%d definitions could not be saved", len(learned))

    def suspect(self) -> dict[str, int]:
        """Suspect streams by feed, of live messages."""
        found: dict[str, int] = {}
        for parser in self.parsers:
            for (_origin, feed), context in () if parser.replay else list(parser.pipeline.contexts.items()):
                found[feed] = found.get(feed, 0) + context.suspects.report()[1]
        return found

    def stats(self) -> dict[str, object]:
        """Counts over all partitions, latency of live messages from receive to publish (ms)."""
        counts = self.counts
        rows = [parser.latency.recent() for parser in self.parsers]
        recent = [sum(column) for column in zip(*rows, strict=True)]
        return {
            "parsed": dict(counts.parsed),
            "dead": sum(counts.dead.values()),
            "dead_by_reason": dict(counts.dead),
            "unrouted": sum(counts.unrouted.values()),
            "unrouted_by_type": dict(counts.unrouted),
            "records": counts.records,
            "duplicates": counts.duplicates,
            "repeated": counts.repeated,
            "out_of_order": counts.out_of_order,
            "late": counts.late,
            "late_images": counts.late_images,
            "gaps": counts.gaps,
            "bad_blocks": counts.bad_blocks,
            "reinjected": counts.reinjected,
            "asked": counts.asked,
            "filled": counts.filled,
            "jumps": counts.jumps,
            "jumped": counts.jumped,
            "not_held": counts.not_held,
            "general_path": self.translator.by_general,
            "suspect": self.suspect(),
            "latency_ms": {"p50": quantile_ms(recent, 0.5), "p99": quantile_ms(recent, 0.99)},
            "bus": self.bus.counts.as_dict(),
        }
