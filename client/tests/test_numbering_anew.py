"""A service that lost its count numbers anew within an epoch: streams and books go on, the gap is told."""

from __future__ import annotations

import asyncio
from typing import Any

from mdds_client import AsyncClient, Book, BookUpdate, Depth, Gap
from mdds_client.continuity import UNKNOWN_END
from mdds_client.testing import FakeGateway, FakeSession


def trade(n: int, rx: int) -> dict[str, Any]:
    return {"ch": "trade", "s": "FPT", "n": n, "ep": "e1", "rx": rx, "bd": "G1", "mt": "X", "p": 98500, "v": 100}


def book(n: int, rx: int, kind: str, bids: list[list[int]]) -> BookUpdate:
    members = {"ch": "book", "s": "FPT", "n": n, "ep": "e1", "rx": rx, "bd": "G1", "mt": "X", "kind": kind}
    return BookUpdate({**members, "b": bids, "a": []}, "")


async def test_low_numbers_are_news_after_a_gap_of_the_epoch() -> None:
    async def first(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(trade(700, 1), trade(701, 2))
        await session.close(4004, code="STATE_LOST", retry_after_ms=5)

    async def second(session: FakeSession) -> None:
        await session.welcome()
        asked = await session.grant()
        assert asked["resume"] == {"FPT": ["e1", 701]}
        await session.send({"t": "gap", "sid": 1, "s": "FPT", "from": 702, "to": None, "why": "epoch"})
        await session.records(trade(1, 3), trade(2, 4), trade(3, 5))
        await session.serve()

    gaps: list[Gap] = []
    async with FakeGateway(first, second) as gateway, AsyncClient(gateway.url, on_gap=gaps.append) as client:
        subscription = await client.subscribe("trade", ["FPT"])
        taken: list[int] = []
        async with asyncio.timeout(5):
            while len(taken) < 5:
                taken += [record.n for record in await subscription.batch()]
    assert taken == [700, 701, 1, 2, 3]
    assert gaps == [Gap("trade", "FPT", "e1", 702, UNKNOWN_END, "epoch")]


def test_a_book_takes_the_snapshot_of_the_new_numbering_and_its_deltas() -> None:
    kept = Book("FPT")
    for record in (book(900, 10, "snap", [[5, 1]]), book(901, 11, "delta", [[6, 1]])):
        assert kept.apply(record)
    assert kept.apply(book(1, 12, "snap", [[7, 1]]))
    assert kept.apply(book(2, 13, "delta", [[8, 1]]))
    assert (kept.bids, kept.n, kept.gaps) == (((8, 1), (7, 1)), 2, 0)


def test_a_book_that_gets_only_a_delta_of_it_asks_for_a_snapshot() -> None:
    kept = Book("FPT")
    kept.apply(book(900, 10, "snap", [[5, 1]]))
    assert not kept.apply(book(3, 12, "delta", [[8, 1]]))
    assert kept.broken is not None


def test_what_was_received_before_is_a_repetition_as_ever() -> None:
    kept = Book("FPT")
    for record in (book(900, 10, "snap", [[5, 1]]), book(901, 11, "delta", [[6, 1]])):
        kept.apply(record)
    assert not kept.apply(book(900, 10, "delta", [[9, 1]]))
    assert (kept.bids, kept.broken) == (((6, 1), (5, 1)), None)


def test_a_book_of_images_goes_on_too() -> None:
    def image(n: int, rx: int, price: int) -> Depth:
        members = {"ch": "depth", "s": "FPT", "n": n, "ep": "e1", "rx": rx, "bd": "G1", "mt": "X"}
        return Depth({**members, "b": [[price, 1]], "a": []}, "")

    kept = Book("FPT")
    assert [kept.apply(one) for one in (image(90, 5, 1), image(89, 4, 2), image(1, 6, 3))] == [True, False, True]
    assert kept.bids == ((3, 1),)
