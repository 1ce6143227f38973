"""A member of the hub and what it follows: which stream in which view, and how far behind it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from subscriptions.gateway.heads import LIVE
from subscriptions.gateway.origins import lasting
from subscriptions.gateway.outbox import Outbox, StreamName
from subscriptions.gateway.stream import Stream
from subscriptions.gateway.views import View

WILDCARD = "*"
# states of a follow
LIVE_NOW = "live"  # a member of its variant: records come by themselves
CATCHING_UP = "catching up"  # resumed: what it missed is pulled from the history as the socket takes it
LATE = "late"  # it knows more than we do: waits for the number behind `at`
SUSPENDED = "suspended"  # a book whose deltas were dropped: waits for a snapshot


class Wild(NamedTuple):
    """A subscription to every stream of a channel, or to those whose symbol begins with a prefix (`VN30*`)."""

    origin: str
    view: View
    pattern: str
    sid: int | None = None
    on_slow: str = ""

    def covers(self, symbol: str) -> bool:
        return symbol.startswith(self.pattern[:-1])


@dataclass(slots=True, eq=False)
class Follow:
    """One member and one stream. `at` and `epoch` say how far the client has come while it is behind."""

    origin: str
    stream: Stream
    view: View
    sid: int | None = None
    on_slow: str = ""  # "" the channel's natural way; or skip, disconnect
    pattern: str | None = None  # of the wildcard it came through; None: by name
    state: str = LIVE_NOW
    at: int = 0
    epoch: bytes = b""
    answered: bool = True  # whether the client was told `resumed`

    @property
    def name(self) -> StreamName:
        return stream_name(self.origin, self.view.key(self.stream.symbol))


def stream_name(origin: str, key: bytes) -> StreamName:
    """How an outbox knows a stream: a delayed record has the bytes of its live one, and nobody follows both."""
    return (LIVE if lasting(origin) else origin, key)


@dataclass(frozen=True, slots=True)
class Resumed:
    """The client hears `resumed`, and every missed record comes."""

    follow: Follow
    from_: int


@dataclass(frozen=True, slots=True)
class Gap:
    """The client hears `gap` with the range that will not come; a snapshot follows. `to` None: nobody knows the end."""

    follow: Follow
    from_: int
    to: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Denied:
    """The member may not follow this any more: it does not from here on."""

    follow: Follow


@dataclass(frozen=True, slots=True)
class Began:
    """The first record of a stream that was followed before anything was known of it."""

    follow: Follow


Event = Resumed | Gap | Denied | Began


def _may_nothing(_origin: str, _channel: str, _stream: Stream) -> int | None:
    return None


def _unheard(event: Event) -> None:
    """A member that nobody listens for."""


@dataclass(slots=True, eq=False)
class Member:
    """One channel of the layer: its outbox and its rights, asked as `allows(origin, channel, stream)` → level.

    `heard` is told what happens to a follow, at the place in the order of its records where it happens.
    """

    name: str
    outbox: Outbox
    allows: Callable[[str, str, Stream], int | None]  # None: not entitled; FULL or a level otherwise
    heard: Callable[[Event], None] = _unheard
    follows: dict[StreamName, Follow] = field(default_factory=dict)
    behind: dict[StreamName, Follow] = field(default_factory=dict)  # catching up or suspended
    wilds: list[Wild] = field(default_factory=list)

    def let_go(self) -> None:
        """Its session has ended: it may follow nothing."""
        self.allows, self.heard = _may_nothing, _unheard
        self.outbox.let_go()
