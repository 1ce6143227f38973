"""The memory bus with a tap on RAW: everything that went out is kept, for the evidence of a run in one process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from feeds.bus.base import Outbox, Outgoing
from feeds.bus.memory import MemoryBus


class TappedOutbox:
    """A RAW outbox that keeps a copy of what went out."""

    def __init__(self, outbox: Outbox, copies: list[bytes]) -> None:
        self._outbox = outbox
        self._copies = copies
        self.drained, self.close = outbox.drained, outbox.close

    async def put(self, message: Outgoing, on_confirmed: Callable[[], None] | None = None) -> None:
        await self._outbox.put(message, on_confirmed)
        self._copies.append(message.body)  # nothing happens between the delivery and this

    @property
    def backlog_bytes(self) -> int:
        return self._outbox.backlog_bytes


class TappedBus(MemoryBus):
    """Keeps a copy of everything on RAW."""

    def __init__(self, data_dir: Path, partitions: int) -> None:
        super().__init__(data_dir, partitions)
        self.raw: list[bytes] = []

    def raw_outbox(self, *, replay: bool = False) -> Outbox:  # type: ignore[override]
        return TappedOutbox(super().raw_outbox(replay=replay), self.raw)
