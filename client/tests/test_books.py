"""A live book from snapshots and deltas: the book rule, the checksum, and subscribing again when it does not fit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from mdds_client import AsyncClient, Book, BookUpdate, Level, LiveBook
from mdds_client.checksum import book_checksum, plain
from mdds_client.testing import FakeGateway, FakeSession

TWO = {"b": [[98500.0, 1200], [98400.0, 300]], "a": [[98600.0, 700]]}
TWO_CRC = 2055430666  # docs/protocol/book.md of the server


def snap(n: int, **members: Any) -> dict[str, Any]:
    return {"ch": "book", "s": "FPT", "n": n, "ep": "e1", "bd": "G1", "kind": "snap", **TWO, **members}


def delta(n: int, b: object = (), a: object = (), **members: Any) -> dict[str, Any]:
    return {"ch": "book", "s": "FPT", "n": n, "ep": "e1", "bd": "G1", "kind": "delta", "b": b, "a": a, **members}


def update(members: dict[str, Any]) -> BookUpdate:
    return BookUpdate(members, repr(members))


def played(*records: dict[str, Any], board: str | None = "G1") -> Book:
    book = Book("FPT", board=board)
    for record in records:
        book.apply(update(record))
    return book


def test_deltas_hold_absolute_levels_and_zero_is_gone() -> None:
    book = played(snap(7, crc=TWO_CRC), delta(8, [[98500.0, 5], [98300, 9]]), delta(9, [[98400, 0]], [[98550, 1]]))
    assert book.bids == ((98500, 5), (98300, 9))
    assert book.offers == ((98550, 1), (98600, 700))
    assert (book.n, book.checked, book.broken, book.best_bid) == (9, 1, None, Level(98500, 5))


def test_old_deltas_are_ignored_and_a_hole_breaks_the_book_until_a_snapshot() -> None:
    book = played(snap(7), delta(7, [[1, 1]]), delta(6, [[1, 1]]), delta(9, [[98500, 1]]), delta(10, [[98500, 2]]))
    assert (book.broken, book.gaps, book.best_bid) == ("n 9 of epoch e1 after 7 of e1", 1, Level(98500, 1200))
    book.apply(update(snap(11, b=[[5, 5]])))
    assert (book.broken, book.bids) == (None, ((5, 5),))


def test_another_epoch_needs_a_snapshot() -> None:
    book = played(snap(7), delta(8, [[1, 1]], ep="e2"))
    assert book.broken is not None
    book.apply(update(snap(1, ep="e2", b=[])))
    assert (book.broken, book.bids) == (None, ())


def test_a_wrong_checksum_breaks_the_book() -> None:
    book = played(snap(99, crc=TWO_CRC), delta(100, [], crc=1))
    assert (book.broken, book.bad_checksums, book.checked) == ("the checksum of n 100 differs", 1, 1)


def test_boards_count_together_and_have_books_of_their_own() -> None:
    book = played(snap(7), delta(8, [[1, 1]], bd="G4"), delta(9, [[98500, 0]]), delta(10, [[2, 2]], bd="G4"))
    assert (book.bids, book.n, book.broken) == (((98400, 300),), 9, None)
    both = played(snap(7), delta(8, [[1, 1]], bd="G4"), board=None)
    assert both.bids == ((1, 1),)


def test_a_later_snapshot_of_one_board_makes_the_others_wait_for_theirs() -> None:
    book = played(snap(7), snap(7, bd="G4"), snap(12, bd="G4"), delta(13, [[98500, 1]]))
    assert book.broken is not None
    for one in (snap(14, bd="G4"), snap(14)):
        book.apply(update(one))
    assert book.broken is None


def test_numbers_left_out_on_purpose_are_told_by_pn() -> None:
    book = played(snap(7), delta(10, [[1, 1]], pn=5), delta(15, [[2, 2]], pn=10))
    assert (book.broken, book.n) == (None, 15)
    book.apply(update(delta(20, [], pn=17)))
    assert book.broken is not None


def test_market_orders_of_an_auction_come_first() -> None:
    book = played(snap(1, b=[[0.0, 5000], [98500.0, 10]], a=[[98400.0, 1], [0, 3]], crc=None))
    assert (book.bids[0], book.offers[0]) == ((0, 5000), (0, 3))
    assert book_checksum(book.bids, ()) == 1793453431  # docs/protocol/book.md of the server


@pytest.mark.parametrize(
    ("number", "text"),
    [(118500.0, "118500"), (Decimal("118500.0"), "118500"), (118500, "118500"), (0.5, "0.5"), (1e-7, "0.0000001"),
     (Decimal("1E+3"), "1000"), (1e16, "10000000000000000"), (-0.0, "0"), (Decimal("-12.50"), "-12.5")],
)  # fmt: skip
def test_the_one_spelling_of_a_number(number: Any, text: str) -> None:
    assert plain(number) == text


async def followed(
    script: Callable[[FakeSession], Awaitable[None]], until: Callable[[LiveBook], bool], **options: Any
) -> tuple[LiveBook, list[dict[str, Any]]]:
    """The book once `until` holds, and the operations that the gateway got."""
    async with FakeGateway(script) as gateway, AsyncClient(gateway.url, **options) as client:
        book = await client.book("FPT", depth=10)
        async with asyncio.timeout(10):
            async for changed in book:
                if until(changed):
                    break
    return book, gateway.operations


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"encoding": "msgpack"}])
async def test_a_live_book_is_checked(options: dict[str, Any]) -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(
            snap(98, crc=TWO_CRC), delta(99, [[98400.0, 0]]), delta(100, [[98400.0, 300]], crc=TWO_CRC)
        )
        await session.serve()

    book, operations = await followed(script, lambda book: book.n == 100, **options)
    assert operations == [{"op": "sub", "ch": "book", "symbols": ["FPT"], "snapshot": True, "depth": 10}]
    assert (book.checked, book.gaps, book.bids) == (2, 0, ((98500, 1200), (98400, 300)))


@pytest.mark.parametrize("broken", [delta(102, [[1, 1]]), delta(101, [], crc=7)])
async def test_what_does_not_fit_subscribes_again(broken: dict[str, Any]) -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(sid=4)
        await session.records(snap(100, crc=TWO_CRC), broken)
        gone = await session.receive("unsub")
        await session.send({"t": "unsub", "id": gone["id"], "sid": 4})
        await session.grant(sid=5)
        await session.records(snap(110, b=[[98700, 1]]), delta(111, [[98700, 2]]))
        await session.serve()

    book, operations = await followed(script, lambda book: book.n == 111)
    assert (book.bids, book.gaps, book.broken) == (((98700, 2),), 1, None)
    assert [operation["op"] for operation in operations] == ["sub", "unsub", "sub"]
    assert operations[0] == operations[2]


async def test_a_resumed_book_goes_on_with_the_next_delta() -> None:
    async def first(session: FakeSession) -> None:
        await session.welcome()
        await session.grant()
        await session.records(snap(7))
        await session.close(4000, retry_after_ms=1)

    async def second(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(sid=3)
        await session.send({"t": "resumed", "sid": 3, "s": "FPT", "from": 8})
        await session.records(delta(8, [[98500, 1]]), delta(9, [[98500, 2]]))
        await session.serve()

    async with FakeGateway(first, second) as gateway, AsyncClient(gateway.url) as client:
        book = await client.book("FPT")
        async with asyncio.timeout(10):
            async for changed in book:
                if changed.n == 9:
                    break
        assert (book.best_bid, book.gaps, book.stale) == (Level(98500, 2), 0, False)
    assert gateway.operations[1]["resume"] == {"FPT": ["e1", 7]}


async def test_a_second_book_subscription_begins_with_snapshots_of_its_own() -> None:
    async def script(session: FakeSession) -> None:
        await session.welcome()
        await session.grant(sid=1)
        await session.records(snap(7), delta(8, [[98500, 1]]))
        gone = await session.receive("unsub")
        await session.send({"t": "unsub", "id": gone["id"], "sid": 1})
        await session.grant(sid=2)
        await session.records(snap(8, b=[[98500, 1]]))
        await session.serve()

    async with FakeGateway(script) as gateway, AsyncClient(gateway.url) as client:
        one = await client.subscribe("book", "FPT")
        async with asyncio.timeout(5):
            assert (await anext(one)).n == 7
            two = await client.subscribe("book", "FPT")
            (first,) = await two.batch()
    assert isinstance(first, BookUpdate)
    assert (first.kind, first.n, one.gaps) == ("snap", 8, 0)
