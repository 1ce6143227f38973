"""The feeds as their records show them: epoch, source sequence, age and state, for the heartbeat."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from subscriptions.gateway.heads import HEAD

FEEDS_MAX = 256  # shown; records of further feeds are delivered, their feeds not shown
STATES = frozenset({"live", "suspect", "gap", "stale", "failover", "closed"})
_STATUS = b'{"ch":"status","s":"feed:'


@dataclass(slots=True)
class FeedSeen:
    epoch: str = ""
    sequence: int | None = None
    at_ns: int = 0
    state: str = "live"
    told: bool = False  # a record said the state; until then it is the best guess


class FeedsSeen:
    def __init__(self) -> None:
        self.feeds: dict[str, FeedSeen] = {}

    def note(self, body: bytes, headers: Mapping[str, object], *, now_ns: int) -> None:
        """Learn from one live PARSED message; only its last record and its feed states are looked at."""
        name = str(headers.get("feed", ""))
        feed = self.feeds.get(name)
        if feed is None:
            if len(self.feeds) >= FEEDS_MAX:
                return
            feed = self.feeds[name] = FeedSeen()
        states = _STATUS in body
        if not (states and _only_states(body)):  # what we say of a silent feed is no message of it
            feed.at_ns = int(str(headers.get("t_rx") or now_ns))
        head = HEAD.match(body, body.rfind(b"\n", 0, len(body) - 1) + 1)
        if head is not None:
            feed.epoch = head[5].decode()
            if head[7] != b"null":
                feed.sequence = int(head[7])
        if states:
            self._note_states(body)

    def learn(self, body: bytes) -> None:
        """Take the states that were said before we listened, as they are kept on the bus (`STATES_KEY`)."""
        try:
            lines = [str(line) for line in json.loads(body).values()]
        except (ValueError, AttributeError):
            return
        told = {name for name, feed in self.feeds.items() if feed.told}
        self._note_states("\n".join(lines).encode(), but=told)

    def _note_states(self, body: bytes, *, but: Collection[str] = ()) -> None:
        for line in body.split(b"\n"):
            if not line.startswith(_STATUS):
                continue
            try:
                record = json.loads(line)
            except ValueError:
                continue
            name, state = record["s"].removeprefix("feed:"), record.get("state")
            if record.get("event") != "state" or state not in STATES or name in but or len(self.feeds) >= FEEDS_MAX:
                continue
            feed = self.feeds.setdefault(name, FeedSeen())
            feed.state, feed.told, feed.epoch = state, True, feed.epoch or str(record.get("ep", ""))

    def shown(self, *, now_ns: int) -> dict[str, dict[str, object]]:
        return {
            name: {
                "ep": feed.epoch,
                "q": feed.sequence,
                "age_ms": max(0, now_ns - feed.at_ns) // 1_000_000 if feed.at_ns else None,
                "state": feed.state,
            }
            for name, feed in self.feeds.items()
        }


def _only_states(body: bytes) -> bool:
    return all(line.startswith(_STATUS) for line in body.splitlines())
