"""Depth records as the parsers write them, and random sequences of them."""

from __future__ import annotations

from hypothesis import strategies as st

DEPTH = (
    b'{"ch":"depth","s":"%b","n":%d,"ep":"%b","rx":1795140900001000000,"q":%d,"m":"STO","bd":"%b","mt":"X",'
    b'"ts":"2026-11-20T02:15:00.123Z","ses":"40","tx":"021500120","b":%b,"a":%b,"tb":7000,"ta":5000,"cb":17,"ca":12}'
)


def array(levels: object) -> bytes:
    """`[[98500.0,200],…]` from (price, quantity) texts or numbers."""
    return b"[" + b",".join(f"[{price},{quantity}]".encode() for price, quantity in levels) + b"]"  # type: ignore[attr-defined]


def depth(n: int, bids: object, asks: object, *, board: bytes = b"G1", epoch: bytes = b"20261120-1") -> bytes:
    return DEPTH % (b"FPT", n, epoch, n + 1000, board, array(bids), array(asks))


# Few prices, so that levels meet again; every spelling that the parser lets pass, and an auction's 0.
PRICES = st.sampled_from(
    ["0.0", "0", "98500.0", "98500", "98500.00", "98400.0", "98600.5", "98600.50", "0.01734", "0.0173", "-1.5",
     "100000000000000000.1", "100000000000000000.2", "null"]
)  # fmt: skip
QUANTITIES = st.sampled_from(["0", "0.0", "100", "100.0", "200", "0.5", "999999999999", "null"])
ANY_SIDE = st.lists(st.tuples(PRICES, QUANTITIES), max_size=14)


@st.composite
def tidy_side(draw: st.DrawFn, *, bids: bool) -> list[tuple[str, int]]:
    """A side as an exchange sends it: on a grid, best first, market orders before the limits in an auction."""
    places = sorted(draw(st.sets(st.integers(1, 16), max_size=12)), reverse=bids)
    levels = [(f"{place * 100}.0", draw(st.integers(1, 4)) * 100) for place in places]
    return [("0.0", 5000), *levels] if draw(st.booleans()) else levels


@st.composite
def image_sequences(draw: st.DrawFn) -> list[bytes]:
    """Images of up to three boards of one symbol, numbered as one stream from anywhere near a hundred."""
    tidy = draw(st.booleans())
    bids, asks = (tidy_side(bids=True), tidy_side(bids=False)) if tidy else (ANY_SIDE, ANY_SIDE)
    images = draw(st.lists(st.tuples(st.sampled_from([b"G1", b"G4", b"T1"]), bids, asks), min_size=1, max_size=25))
    first = draw(st.integers(1, 120))
    return [depth(n, b, a, board=board) for n, (board, b, a) in enumerate(images, start=first)]
