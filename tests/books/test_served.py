"""Snapshot and deltas equal the reference book at every sampled `n`: an hour of the simulated market at speed, and the
recorded session, through the gateway's hub to readers at each depth, conflated ones and ones that come late.

The hour is as busy as `BOOKS_HOUR_RATE` says, in messages a second of the market (2: seconds of CPU; the full one is
`BOOKS_HOUR_RATE=100 pytest tests/books/test_served.py`).
"""

from __future__ import annotations

import os

from feeds.simulator.cap import parse_cap
from feeds.simulator.day import clock
from feeds.simulator.exchange import Exchange
from tests.books.served import MergedReader, Reader, Served
from tests.conftest import SHARED_DATA
from tests.simulator.trading_days import FEEDS

RECORDED = SHARED_DATA / "recorded_session.cap"
RATE = int(os.environ.get("BOOKS_HOUR_RATE", "2"))
PORTIONS = min(4, max(1, RATE // 20))  # of a second's messages: the books are compared after each
DEPTHS = (1, 5, 10)
HOUR_S = 3_600
LATE_S = (900, 1_800, 2_700)  # into the hour: a reader begins with snapshots
STEP_MESSAGES = 20


def with_readers() -> Served:
    served = Served()
    for depth in DEPTHS:
        served.join(Reader(depth=depth))
    served.join(MergedReader(depth=10), conflate_ms=250)
    return served


def test_an_hour_of_the_simulated_market_at_speed() -> None:
    """From the opening, 09:00 to 10:00 in all four markets: an auction, then continuous trading."""
    exchange, served = Exchange(FEEDS, symbols=5, seed=6, steady=False), with_readers()
    exchange.set_time(served.now_ns, clock("08:00"))
    while exchange.waiting:
        served.play([(one.feed, served.now_ns, one.data) for one in exchange.take(50)])
    for second in range(HOUR_S):
        exchange.set_time(served.now_ns, clock("09:00") + second)
        taken = exchange.take(RATE)
        for portion in range(PORTIONS):
            some = taken[portion * RATE // PORTIONS : (portion + 1) * RATE // PORTIONS]
            served.play([(one.feed, served.now_ns, one.data) for one in some], step_ns=1_000_000_000 // PORTIONS)
        if second in LATE_S:
            served.join(Reader(depth=10))
    served.compare()
    hour = served.now_ns - 1_795_500_000_000_000_000
    print(f"{hour / 6e10:.0f} minutes, {served.images} images, {served.sampled} books compared at {len(DEPTHS)} depths")
    assert hour >= HOUR_S * 1_000_000_000
    assert served.images > HOUR_S * RATE // 4
    assert served.sampled > served.images // 2
    assert all(reader.records > 100 and reader.checked() > 20 for reader in served.readers)
    assert {len(row["b"]) for row in served.latest.values()} >= {3, 10}, "HOSE's depth and the others'"  # type: ignore[arg-type]
    assert len({symbol for symbol, _ in served.latest}) > 15


if RECORDED.exists():

    def test_the_recorded_session() -> None:
        with RECORDED.open("rb") as lines:
            datagrams = [("DVX", datagram.rx_ns, datagram.data) for datagram in parse_cap(lines)]
        served = with_readers()
        for at in range(0, len(datagrams), STEP_MESSAGES):
            served.play(datagrams[at : at + STEP_MESSAGES])
            if at == len(datagrams) // STEP_MESSAGES // 2 * STEP_MESSAGES:
                served.join(Reader(depth=10))
        served.compare()
        assert served.images == 752
        assert served.sampled > 100
        assert all(reader.checked() for reader in served.readers)
