"""What the gateway counts over all its sessions, the ended ones included."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from subscriptions.gateway.outbox import Outbox


@dataclass(slots=True)
class Totals:
    opened: int = 0
    messages_dropped: int = 0  # plain layer messages to a full channel
    delivered: int = 0
    conflated: int = 0
    skipped: int = 0
    discarded: int = 0  # queued when the session ended
    sent_bytes: int = 0
    closes: Counter[int] = field(default_factory=Counter)  # by close code, ours only
    errors: Counter[str] = field(default_factory=Counter)  # error frames and per-symbol errors, by code

    def add_open(self, outbox: Outbox) -> None:
        """The counts of a session that goes on."""
        self.delivered += outbox.delivered
        self.conflated += outbox.conflated
        self.skipped += outbox.skipped
        self.discarded += outbox.discarded
        self.sent_bytes += outbox.sent_bytes

    def add_closed(self, outbox: Outbox) -> None:
        """The counts of a session that ended; what it had queued is discarded."""
        self.add_open(outbox)
        self.discarded += outbox.waiting_records()
