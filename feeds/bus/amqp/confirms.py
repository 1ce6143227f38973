"""Follows the broker's confirmations of one channel: which of the publishes, in their order, are safe.

aiormq keeps a future per publish and a task that waits for each; here a confirmation frame is counted where it is
read (docs/decisions/0009). The broker may confirm out of order, and many at once; `Confirms` gives them in order.
"""

from __future__ import annotations

from collections.abc import Callable

from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader


class Confirms:
    """How many of a channel's publishes are confirmed without a hole, counted from 1 as delivery tags are."""

    def __init__(self) -> None:
        self.through = 0
        self._early: set[int] = set()  # bounded by the publisher's window

    def take(self, tag: int, *, multiple: bool) -> int:
        """Take a confirmation of `tag`, of everything up to it with `multiple`; how many more are without a hole."""
        before = self.through
        if multiple:
            self.through = max(before, tag)
        elif tag == before + 1:
            self.through = tag
        elif tag > before:
            self._early.add(tag)
        if self._early:
            while self.through + 1 in self._early:
                self.through += 1
            if self.through > before:
                self._early = {early for early in self._early if early > self.through}
        return self.through - before


class ConfirmTap:
    """Stands before a publishing channel's queue of frames: confirmations go to `confirmed` (how many more), refusals
    and returns to `refused` (why), everything else to the channel."""

    def __init__(self, frames: object, confirmed: Callable[[int], None], refused: Callable[[str], None]) -> None:
        self._frames = frames
        self._confirmed = confirmed
        self._refused = refused
        self._confirms = Confirms()
        self._broken = False  # after a refusal nothing counts: everything from it on is sent again

    async def put(self, item: tuple[int, object]) -> None:
        frame = item[1]
        if isinstance(frame, Basic.Ack):
            if not self._broken and (
                more := self._confirms.take(frame.delivery_tag or 0, multiple=bool(frame.multiple))
            ):
                self._confirmed(more)
        elif isinstance(frame, Basic.Nack):
            self._refuse("Nack")
        elif isinstance(frame, Basic.Return):
            self._refuse(f"Return {frame.reply_code} {frame.reply_text}")
        elif not isinstance(frame, (ContentHeader, ContentBody)):  # those of a returned message
            await self._frames.put(item)  # type: ignore[attr-defined]

    def _refuse(self, reason: str) -> None:
        if not self._broken:
            self._broken = True
            self._refused(reason)

    def __getattr__(self, name: str) -> object:
        """Whatever else the channel asks of its queue."""
        return getattr(self._frames, name)
