"""What the gateway counts over all its sessions, the ended ones included."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from subscriptions.gateway.outbox import Outbox, Sums


@dataclass(slots=True)
class Totals(Sums):
    opened: int = 0
    messages_dropped: int = 0  # plain layer messages to a full channel
    closes: Counter[int] = field(default_factory=Counter)  # by close code, ours only
    errors: Counter[str] = field(default_factory=Counter)  # error frames and per-symbol errors, by code

    def end(self, outbox: Outbox) -> None:
        """A session ended; what it had queued is discarded."""
        self.discarded += outbox.waiting_records()
