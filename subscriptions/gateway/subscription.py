"""One subscription of a session: what was asked, what was granted, and the views that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from subscriptions.entitlements import ON_SLOW
from subscriptions.gateway.following import WILDCARD, Wild
from subscriptions.gateway.heads import LIVE
from subscriptions.gateway.origins import delay_of, lasting
from subscriptions.gateway.views import FULL, LEAN_WITHOUT, View
from subscriptions.protocol import CHANNELS_CONFLATED, CHANNELS_OF_DEPTH, CHANNELS_OF_IMAGES, Subscribe

DEPTH_OF_IMAGES = 10  # a depth image carries at most ten levels

# The states of a subscription: it is `init` until it is answered.
WAITING, RUNNING, CLOSED = "waiting", "running", "closed"


@dataclass(slots=True, eq=False)
class Subscription:
    sid: int
    operation: Subscribe
    packed: bool
    symbols: dict[str, int] = field(default_factory=dict)  # symbol or pattern → level
    on_slow_max: str = ON_SLOW[-1]  # of the plan
    state: str = WAITING
    wilds: dict[str, Wild] = field(default_factory=dict)  # pattern → as the hub knows it

    @property
    def said_origin(self) -> str:
        """The origin as the client names it, and as a queued record shows it: a delayed one looks like its live one."""
        return LIVE if lasting(self.operation.origin) else self.operation.origin

    def view(self, level: int) -> View:
        """What is followed of a symbol that is granted `level`."""
        operation = self.operation
        conflate_ms = operation.conflate_ms if operation.channel in CHANNELS_CONFLATED else 0
        return View(
            operation.channel,
            level if operation.channel in CHANNELS_OF_DEPTH else FULL,
            conflate_ms,
            operation.boards,
            operation.fields == "lean" and operation.channel in LEAN_WITHOUT,
            self.packed,
        )

    @property
    def natural(self) -> str:
        """What happens to a slow client of this channel when it asks for nothing else."""
        conflates = self.operation.channel in CHANNELS_OF_IMAGES | {"book", "bar"} and lasting(self.operation.origin)
        return "conflate" if conflates or self.operation.channel == "book" else "skip"

    @property
    def policy(self) -> str:
        """The policy in force: what was asked, where the channel can do that and the plan gives it."""
        asked, most = self.operation.on_slow, self.on_slow_max
        if "disconnect" in (asked, most):
            return "disconnect"
        if asked == most == "skip" and self.operation.channel != "book":
            return "skip"
        return self.natural

    @property
    def on_slow(self) -> str:
        """For the hub: empty when the channel's natural way is in force."""
        return "" if self.policy == self.natural else self.policy

    def granted(self) -> dict[str, object]:
        """What the reply states: never what was asked, always what is given."""
        operation, view = self.operation, self.view(FULL)
        granted: dict[str, object] = {
            "conflate_ms": view.conflate_ms,
            "timeliness": "delayed" if delay_of(operation.origin) else "realtime",
            "on_slow": self.policy,
            "origin": self.said_origin,
        }
        if delay_of(operation.origin):
            granted["delay_s"] = delay_of(operation.origin)
        if operation.boards:
            granted["boards"] = list(operation.boards)
        if operation.fields is not None:
            granted["fields"] = "lean" if view.lean else "full"
        if operation.channel in CHANNELS_OF_DEPTH:
            granted |= _depths(operation.channel, self.symbols)
        return granted


def _depths(channel: str, levels: Mapping[str, int]) -> dict[str, object]:
    """`depth`, and `depths` of the symbols that are granted less than the others."""
    given: dict[str, int | str] = {symbol: _stated(channel, level) for symbol, level in levels.items()}
    ranks = {symbol: 1_000 if depth == "full" else int(depth) for symbol, depth in given.items()}
    most = max(ranks.values(), default=0)
    stated: dict[str, object] = {"depth": next((given[one] for one, rank in ranks.items() if rank == most), None)}
    below = {symbol: given[symbol] for symbol, rank in ranks.items() if rank < most}
    if below:
        stated["depths"] = below
    return stated


def _stated(channel: str, level: int) -> int | str:
    if level != FULL:
        return level
    return "full" if channel == "book" else DEPTH_OF_IMAGES


def level_of(wanted: int | None, granted: int, *, channel: str) -> int:
    """The level of a stream; FULL is above every number. A depth image has ten: more is all there is."""
    if wanted is None or wanted == FULL or (channel == "depth" and wanted >= DEPTH_OF_IMAGES):
        return granted
    return wanted if granted == FULL else min(wanted, granted)


def is_pattern(symbol: str) -> bool:
    return symbol.endswith(WILDCARD)


def overlap(one: str, other: str) -> bool:
    """Whether two symbols or patterns may name the same stream."""
    if is_pattern(one):
        first, second = one[:-1], other.removesuffix(WILDCARD)
        return second.startswith(first) or (is_pattern(other) and first.startswith(second))
    return one.startswith(other[:-1]) if is_pattern(other) else one == other
