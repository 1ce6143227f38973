"""The bus interface: what publishers, parsers and gateways may ask of it, whatever carries it.

Order and loss, for both implementations: an outbox delivers in order and at least once. It sends a window, and after
any failure it sends again everything from the first unconfirmed message on (go-back-N), so a message can arrive twice
but never before its predecessor has been offered. RAW headers carry `pub` and `prev` so that a parser can tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

Headers = Mapping[str, str | int]


class BusDown(ConnectionError):
    """The bus cannot be reached, or refused what it was asked for; the text says which."""


class Outgoing(NamedTuple):
    """One message to publish: RAW by partition, PARSED by partition and origin (in the headers)."""

    partition: int
    body: bytes
    headers: Headers


@dataclass(slots=True, eq=False)
class Delivery:
    """A message as it arrived. `generation` rises when the bus had to reconnect: what was not acknowledged comes
    again, and acknowledgements of an older generation mean nothing."""

    body: bytes
    headers: Headers
    generation: int
    tag: int


@dataclass(slots=True)
class BusCounts:
    """Counters every implementation keeps; a non-zero `dropped` or `reconnects` has its reason in the log."""

    published: int = 0
    confirmed: int = 0
    resent: int = 0
    refused: int = 0
    dropped: int = 0
    delivered: int = 0
    reconnects: int = 0
    blocked_ns: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__}


class Outbox(Protocol):
    """Ordered publishing with a bounded window."""

    async def put(self, message: Outgoing, on_confirmed: Callable[[], None] | None = None) -> None:
        """Queue a message; waits while the outbox holds its bound of unconfirmed bytes (nothing is dropped).

        `on_confirmed` is called when this message and every one before it is confirmed.
        """

    async def drained(self) -> None:
        """Return when everything put so far is confirmed."""

    @property
    def backlog_bytes(self) -> int:
        """Bytes put and not yet confirmed."""

    async def close(self) -> None:
        """Stop; what is unconfirmed stays unconfirmed."""


class Subscription(Protocol):
    """An ordered stream of deliveries; iterate it. It survives reconnects."""

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    def get_nowait(self) -> Delivery | None:
        """The next delivery when one has arrived already."""

    def ack(self, delivery: Delivery) -> None:
        """Acknowledge `delivery` and every earlier one of this subscription. Never waits."""

    async def close(self) -> None: ...


class Bus(Protocol):
    """One connection to the message bus; open it in the loop that uses it."""

    counts: BusCounts

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def raw_outbox(self, *, replay: bool = False) -> Outbox:
        """Publish RAW. Bound: 64 MiB unconfirmed, then `put` waits (the journal keeps the rest)."""

    def beside_outbox(self) -> Outbox:
        """Publish RAW that is parsed already, for readers that bound a queue to it; without one it is gone."""

    def parsed_outbox(self) -> Outbox:
        """Publish PARSED. Bound: 64 MiB unconfirmed, then `put` waits (RAW keeps the rest)."""

    async def publish_raw(self, messages: Sequence[Outgoing], *, replay: bool = False) -> None:
        """Publish in order and return when all are confirmed."""

    def consume_raw(self, partition: int, *, replay: bool = False) -> Subscription:
        """One partition of RAW, single active consumer; unacknowledged messages come again."""

    def follow_raw(self, name: str, on_bound: Callable[[], None]) -> Subscription:
        """A copy of all RAW, live, beside and replays, from when `on_bound` is called. Bound: 64 MiB waiting, then the
        oldest are dropped (message numbers show it).

        `on_bound` is called again after a reconnect: what was published in between went to nobody's queue.
        """

    def consume_parsed(self, name: str, on_reconnect: Callable[[], None] | None = None) -> Subscription:
        """All of PARSED, live and replays. Bound: 64 MiB waiting, then the oldest are dropped (`dropped`).

        What was published while the connection was lost does not come by itself: `on_reconnect` says when to refetch.
        """

    def dead_outbox(self) -> Outbox:
        """Keep dead letters (one JSON object each). Bound: 64 MiB and 30 days, then the oldest are dropped."""

    def dead_letters(self) -> AsyncIterator[bytes]:
        """The dead letters that are kept, oldest first; reading takes none away."""

    def refetch_parsed(self, since_ns: int) -> AsyncIterator[Delivery]:
        """Live PARSED from about `since_ns` to now, for a reader that saw a loss; nothing where none is kept."""

    async def retain(self, key: str, body: bytes) -> None:
        """Keep the last value of `key` durably."""

    async def retained(self, key: str) -> bytes | None:
        """The last value of `key`."""


OUTBOX_BYTES_MAX = 64 << 20
PARSED_QUEUE_BYTES_MAX = 64 << 20
RAW_QUEUE_BYTES_MAX = 256 << 20
RAW_FOLLOWED_BYTES_MAX = 64 << 20
DEAD_BYTES_MAX = 64 << 20
DEAD_DAYS_MAX = 30


async def put_all(outbox: Outbox, messages: Sequence[Outgoing]) -> None:
    """Put `messages` in order and wait until they are confirmed."""
    if not messages:
        return
    done = asyncio.Event()
    for message in messages[:-1]:
        await outbox.put(message)
    await outbox.put(messages[-1], done.set)
    await done.wait()
