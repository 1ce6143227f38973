"""The SDK's book at a real gateway equals the reference at the end, over a cut of the connection, in both encodings."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mdds_client import AsyncClient, LiveBook
from tests.books.depth_records import depth
from tests.books.reference import book_of, row_of
from tests.gateway.running import RunningGateway, running

IMAGES = 350


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with running(tmp_path) as found:
        yield found


def images(seed: int) -> list[bytes]:
    """Two boards of one symbol whose levels move a little from image to image, with an auction's market orders."""
    rng = random.Random(seed)
    books: dict[bytes, list[dict[int, int]]] = {board: [{}, {}] for board in (b"G1", b"G4")}
    made = []
    for n in range(1, IMAGES + 1):
        board = rng.choice([b"G1", b"G1", b"G4"])
        for side, grid in zip(books[board], (range(970, 985), range(985, 1000)), strict=True):
            side[rng.choice([0, *grid])] = rng.choice([0, 0, 100, 200, 5_000])
        bids, asks = (sorted(side.items(), reverse=not place) for place, side in enumerate(books[board]))
        levels = [[(f"{price * 100}.0", quantity) for price, quantity in side if quantity] for side in (bids, asks)]
        made.append(depth(n, levels[0], levels[1], board=board))
    return made


async def reaches(book: LiveBook, number: int) -> None:
    async with asyncio.timeout(20):
        async for changed in book:
            if changed.n >= number:
                return


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"encoding": "msgpack"}], ids=str)
@pytest.mark.parametrize("level", [3, 10, None])
async def test_book_equals_the_reference(gateway: RunningGateway, options: dict[str, Any], level: int | None) -> None:
    records = images(seed=7)
    last = {board: max(n for n, one in enumerate(records, 1) if board in one) for board in (b'"G1"', b'"G4"')}
    url = f"ws://127.0.0.1:{gateway.server.port}/stream/v1"
    await asyncio.to_thread(gateway.publish, *records[:20])
    async with AsyncClient(url, "alice", **options) as client:
        books = {
            b'"G1"': await client.book("FPT", depth=level),
            b'"G4"': await client.book("FPT", depth=level, board="G4"),
        }
        await asyncio.to_thread(gateway.publish, *records[20:150])
        await asyncio.gather(*(reaches(book, 100) for book in books.values()))
        connection = await client._running().live()
        connection._socket.transport.abort()
        for record in records[150:]:  # partly while the client is away
            await asyncio.to_thread(gateway.publish, record)
        for board, book in books.items():
            await reaches(book, last[board])
            reference = row_of(records[last[board] - 1])
            end = level or 10  # the level of the right
            assert [*map(tuple, book.bids)] == book_of(reference, "b")[:end]
            assert [*map(tuple, book.offers)] == book_of(reference, "a")[:end]
            assert (book.gaps, book.bad_checksums, book.stale) == (0, 0, False)
            assert book.checked >= 2  # a snapshot, and the hundredth deltas of its board
        assert client.reconnects == 1
