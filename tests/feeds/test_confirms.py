"""Confirmations in any order and grouping, counted without a hole; what is refused or returned stops the count."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from feeds.bus.amqp.confirms import Confirms, ConfirmTap


@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_every_order_and_grouping_confirms_all_in_order(count: int, chance: random.Random) -> None:
    """The broker confirms each tag once, alone or with everything below it."""
    confirms, confirmed, waiting, total = Confirms(), set[int](), list(range(1, count + 1)), 0
    while waiting:
        tag = chance.choice(waiting)
        multiple = chance.random() < 0.3
        taken = {t for t in waiting if t <= tag} if multiple else {tag}
        confirmed |= taken
        waiting = [t for t in waiting if t not in taken]
        total += confirms.take(tag, multiple=multiple)
        whole = next(t for t in range(1, count + 2) if t not in confirmed) - 1
        assert total == confirms.through == whole
    assert total == count


def put(tap: ConfirmTap, *frames: object) -> None:
    async def all_of_them() -> None:
        for frame in frames:
            await tap.put((0, frame))

    asyncio.run(all_of_them())


def test_nothing_counts_after_a_return_and_its_content_is_taken_out() -> None:
    """A returned message is confirmed behind its return: that confirmation is none."""
    frames: asyncio.Queue[tuple[int, object]] = asyncio.Queue()
    confirmed: list[int] = []
    refused: list[str] = []
    tap = ConfirmTap(frames, confirmed.append, refused.append)
    returned = Basic.Return(312, "NO_ROUTE", "raw", "live.7")
    put(tap, Basic.Ack(1, False), returned, ContentHeader(), Basic.Ack(2, False), Basic.Ack(3, True))
    assert confirmed == [1]
    assert refused == ["Return 312 NO_ROUTE"]
    assert frames.empty()


def test_other_frames_go_to_the_channel() -> None:
    frames: asyncio.Queue[tuple[int, object]] = asyncio.Queue()
    tap = ConfirmTap(frames, lambda _: None, lambda _: None)
    put(tap, Basic.QosOk(), Basic.Nack(1))
    assert frames.qsize() == tap.qsize() == 1
