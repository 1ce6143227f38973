"""The book rule on a real socket: snapshot, contiguous deltas and checksums are the published book at each depth."""

from __future__ import annotations

import json
import random

import pytest

from tests.books.reference import Follower, book_of, row_of
from tests.conformance.server import WAIT_S, Server
from tests.conformance.test_channels import Listener, known
from tests.gateway import cast

pytestmark = pytest.mark.services
SYMBOL, IMAGES = "RULE", 230


def images(seed: int) -> list[bytes]:
    """A book of up to twelve levels a side, on two boards, that changes in one level from image to image."""
    draw = random.Random(seed)
    books: dict[str, tuple[dict[int, int], dict[int, int]]] = {"G1": ({}, {}), "G4": ({}, {})}
    made = []
    for number in range(1, IMAGES + 1):
        board = draw.choice(["G1", "G1", "G4"])
        side = draw.randrange(2)
        levels = books[board][side]
        levels[draw.randrange(980, 992) + 20 * side] = draw.choice([0, 100, 200, 300])
        bids, offers = ([list(one) for one in sorted(found.items()) if one[1]] for found in books[board])
        made.append(cast.record("depth", SYMBOL, number, bd=board, b=bids[::-1], a=offers))
    return made


@pytest.mark.parametrize("depth", [1, 5, 10])
def test_snapshot_and_deltas_are_the_book(server: Server, depth: int) -> None:
    made = images(seed=depth)
    made = [line.replace(b'"s":"RULE"', b'"s":"RULE%d"' % depth) for line in made]
    symbol = f"{SYMBOL}{depth}"
    server.publish(*made[:20])
    known(server, "book", symbol)
    with server.connect() as first, server.connect() as second:
        early, late = Listener(first), Listener(second)
        assert early.ask(op="sub", id=1, ch="book", symbols=[symbol], depth=depth)["granted"]["depth"] == depth
        server.publish(*made[20:90])
        early.until(90)
        late.ask(op="sub", id=1, ch="book", symbols=[symbol], depth=depth)
        server.publish(*made[90:])
        for one in (early, late):
            assert_is_the_book(one, made, depth=depth)


def assert_is_the_book(one: Listener, made: list[bytes], *, depth: int) -> None:
    follower, kinds, checked = Follower(), [], []
    while follower.n < len(made):
        for text in one.frames or [str(one.socket.recv(timeout=WAIT_S)).encode()]:
            for record in json.loads(text) if text.startswith(b"[") else ():
                follower.take(json.dumps(record).encode())
                kinds.append(record["kind"])
                checked += [record["n"]] if "crc" in record else []
                if record["kind"] == "delta":  # snapshots of the other boards may follow the first one
                    source = row_of(made[record["n"] - 1])
                    for side in "ba":
                        assert follower.side(source["bd"], side) == book_of(source, side)[:depth]
        one.frames.clear()
    assert kinds[0] == "snap"
    assert "snap" not in kinds[2:]
    assert {100, 200} <= set(checked)
