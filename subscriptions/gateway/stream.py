"""One source stream as the hub knows it: where it stands, its last images, its history, and who follows it how."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from subscriptions.gateway.heads import HEAD, Identity
from subscriptions.gateway.history import History

if TYPE_CHECKING:
    from subscriptions.gateway.following import Follow
    from subscriptions.gateway.variants import Variant
    from subscriptions.gateway.views import View

IMAGES_MAX = 64  # (board, MsgType) pairs; past it: the oldest pair's image goes


class Stream:
    __slots__ = (
        "channel", "epoch", "fanout", "first", "history", "images", "key", "late", "market", "minute", "number",
        "ordered", "renumbered", "restarted", "symbol", "variants",
    )  # fmt: skip

    def __init__(self, key: bytes, channel: str, symbol: str) -> None:
        self.key, self.channel, self.symbol = key, channel, symbol
        self.number = 0
        # Every partition reports the end of a replay with a number of its own.
        self.ordered = not symbol.startswith("replay:")
        self.restarted = False  # the numbering may begin again within the epoch
        self.renumbered = False  # it has: a number of this epoch that is ahead of ours is of the lost numbering
        self.epoch = b""
        self.market: bytes | None = None
        self.minute = b""  # that bars have been told the exchange is in
        self.images: dict[Identity, bytes] = {}
        self.history: History | None = None
        self.variants: dict[View, Variant] = {}
        self.first: Variant | None = None  # served before the others (trades flush quotes)
        self.fanout: tuple[Variant, ...] | None = None  # rebuilt at the first record after a change
        self.late: dict[tuple[str, str], Follow] | None = None  # members that wait for a number; None when nobody does

    @staticmethod
    def head(line: bytes) -> re.Match[bytes]:
        """The head of a line that was delivered before."""
        found = HEAD.match(line)
        assert found is not None, "only lines with a head are kept"
        return found

    def keep(self, identity: Identity, line: bytes) -> None:
        images = self.images
        images.pop(identity, None)  # the newest is the last, as a subscriber will read them
        if len(images) >= IMAGES_MAX:
            del images[next(iter(images))]
        images[identity] = line

    def served(self) -> tuple[Variant, ...]:
        """The variants in the order in which they are served."""
        first = (self.first,) if self.first is not None else ()
        self.fanout = (*first, *self.variants.values())
        return self.fanout
