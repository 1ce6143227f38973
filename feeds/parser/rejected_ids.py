"""The identities of messages that became dead letters: put in again after a fix, they are new and not duplicates.

A message that the parser refused has taken its number, so that its second copy is dropped. What is kept here says that
its number was taken by a dead letter, and how many images of its symbol had passed then: an old image must not replace
a newer one, an event (a trade) is delivered in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

REJECTED_MAX = 512  # past it the oldest is forgotten: put in again it counts as a duplicate
_SYMBOL = re.compile(rb"\x0155=([^\x01]+)\x01")

Identity = tuple[str, str, int]  # market, stream, sequence


class RejectedMessage(NamedTuple):
    """`key` is the symbol (empty: none), `images` how many images of it had passed."""

    key: str
    images: int


def key_of(data: bytes, msg_type: str) -> str:
    """The symbol of a message that could not be read; an index's constituent (ML) is not the stream's symbol."""
    found = _SYMBOL.search(data) if msg_type != "ML" else None
    return found[1].decode("latin-1") if found else ""


class RejectedIds:
    """A bounded table; the state of a Context."""

    def __init__(self) -> None:
        self._found: dict[Identity, RejectedMessage] = {}

    def __len__(self) -> int:
        return len(self._found)

    def note(self, market: str, stream: str, number: int, *, rejected: RejectedMessage) -> None:
        while len(self._found) >= REJECTED_MAX:
            del self._found[next(iter(self._found))]
        self._found[market, stream, number] = rejected

    def take(self, market: str, stream: str, number: int) -> RejectedMessage | None:
        """What was noted of this identity, once."""
        return self._found.pop((market, stream, number), None)

    def state(self) -> list[list[object]]:
        """JSON values; `restore` is the inverse."""
        return [[*identity, *rejected] for identity, rejected in self._found.items()]

    @classmethod
    def restore(cls, rows: Iterable[Iterable[object]]) -> RejectedIds:
        ids = cls()
        for market, stream, number, key, images in rows:
            rejected = RejectedMessage(str(key), int(str(images)))
            ids.note(str(market), str(stream), int(str(number)), rejected=rejected)
        return ids
