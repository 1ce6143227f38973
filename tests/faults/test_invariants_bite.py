"""Each invariant says so when its numbers do not add up, and names them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from feeds.blocks import FLAG_OVERTAKEN
from testbed.invariants import arbitration, bounds, delivery, lines, parsing
from testbed.invariants.identity import Identity, identity_of, is_sound
from testbed.invariants.overtaken import overtaken_in
from tests.feeds.wire import ISIN, message, trade

SUMS = lines.LineSums(
    name="A", sent=10, relay_received=10, relay_kernel_drops=0, relay_lost=2, relay_doubled=1, relay_sent=9
)
ROWS = [(n, bytes([n]) * 8) for n in range(6)]


def ids(*numbers: int) -> list[Identity]:
    return [Identity("STO", "market", n, "X") for n in numbers]


def record(n: int, q: int, **changes: Any) -> dict[str, Any]:
    return {"ch": "depth", "s": "FPT", "n": n, "ep": "1", "q": q, "m": "STO", "bd": "G1", "mt": "X", **changes}


def passed(*numbers: int, gaps: tuple[int, ...] = ()) -> arbitration.Passed:
    return arbitration.Passed(Counter(ids(*numbers)), {("STO", "market"): set(gaps)})


def test_identity() -> None:
    assert identity_of(trade(7)) == Identity("STO", "market", 7, "X")
    assert not is_sound(trade(7)[:-2] + b"9\x01")
    assert identity_of(b"noise") is None


def test_i1_i3() -> None:
    assert lines.every_datagram_is_accounted(SUMS, journaled=7, kernel_drops=1, in_outages=1) == []
    (text,) = lines.every_datagram_is_accounted(SUMS, journaled=7, kernel_drops=0, in_outages=1)
    assert text.startswith("I1 line A: 9 sent to the capture, 7 journaled")
    found = lines.match(ROWS, [ROWS[0][1], ROWS[2][1], b"foreign!", ROWS[5][1]])
    assert (found.missing, found.unknown) == ([(1, 1), (3, 3), (4, 4)], [2])
    assert len(lines.journal_is_what_arrived("A", found, outages=[], kernel_drops=0)) == 2
    found.unknown.clear()
    assert lines.journal_is_what_arrived("A", found, outages=[(1, 4)], kernel_drops=0) == []


def test_i2_i4_i13() -> None:
    assert arbitration.spans_add_up(ids(1, 2, 4), passed(1, 2, 4, gaps=(3,))) == []
    assert "missing without a published range: 3" in arbitration.spans_add_up(ids(1, 2, 4), passed(1, 2, 4))[0]
    assert "journaled and not passed on: 2" in arbitration.spans_add_up(ids(1, 2, 3), passed(1, 3))[0]
    assert "passed on and never journaled: 3" in arbitration.spans_add_up(ids(1, 2), passed(1, 2, 3))[0]
    assert arbitration.journaled_is_confirmed(ids(1, 2), passed(1, 2), backlog_bytes=0) == []
    assert len(arbitration.journaled_is_confirmed(ids(1, 2), passed(1), backlog_bytes=5)) == 2
    holes = arbitration.holes(ids(1, 4), {})
    assert holes == {("STO", "market"): {2, 3}}
    assert arbitration.losses_have_events(holes, {("STO", "market"): {2}}) == [
        "I13 STO.market: lost without an event: 3"
    ]
    counts = {"A": {"received": 5, "first": 3, "duplicate": 1, "late": 0}}
    assert len(arbitration.counters_agree(counts, unique=3)) == 2


def test_i5_i7() -> None:
    rows = [record(1, 1), record(2, 2)]
    assert parsing.every_id_has_one_outcome(ids(1, 2), rows, dead=()) == []
    assert parsing.every_id_has_one_outcome(ids(1, 2, 3), rows, dead=ids(3)) == []
    assert "neither parsed" in parsing.every_id_has_one_outcome(ids(1, 2, 3), rows, dead=())[0]
    assert "never on RAW" in parsing.every_id_has_one_outcome(ids(1), rows, dead=())[0]
    assert "more than once" in parsing.every_id_has_one_outcome(ids(1, 2), [*rows, record(3, 2)], dead=())[0]
    assert parsing.streams_keep_their_order(rows) == []
    assert "n 4 after 2" in parsing.streams_keep_their_order([*rows, record(4, 3)])[0]
    assert "q 1 after 2" in parsing.streams_keep_their_order([*rows, record(3, 1)])[0]
    assert parsing.streams_keep_their_order([*rows, record(3, 1)], frozenset(ids(1))) == []


def test_i5_of_snapshots() -> None:
    told = (1, 0, FLAG_OVERTAKEN, b'["STO","W",2]')
    book, snapshot = (
        (1, 0, 0, message(kind, 2, (30001, "STO"), (20004, "G1"), (55, ISIN), sent=f"20261120 02:15:00.{ms}"))
        for kind, ms in (("X", 300), ("W", 100))
    )
    identity = Identity("STO", "W", 2, "W")
    assert overtaken_in([book, told, snapshot]) == ({identity}, [])
    for entries in ([told, snapshot, book], [told, snapshot]):
        found, wrong = overtaken_in(entries)
        assert (found, len(wrong)) == ({identity}, 1)
    assert overtaken_in([book, snapshot]) == (set(), [])


def test_i6_i8_i11_i12_i14() -> None:
    assert delivery.everything_is_delivered({"eligible": 3, "delivered": 2, "conflated": 1, "skipped": 0}) == []
    assert delivery.everything_is_delivered({"eligible": 4, "delivered": 3}, conflated_trades=1)
    key = ("depth", "FPT", "1", "G1")
    assert parsing.state_is_the_references({key: "a"}, {key: "a"}) == []
    assert "other last images" in parsing.state_is_the_references({key: "a"}, {key: "b"})[0]
    assert "missing" in parsing.state_is_the_references({}, {key: "b"})[0]
    looks = [bounds.Usage(0, 10 << 20, 9), bounds.Usage(40, 20 << 20, 9), bounds.Usage(80, 90 << 20, 99)]
    found = bounds.usage_is_bounded("p", looks, growth_bytes_max=50 << 20, descriptors_max=5, warm_s=30)
    assert found == ["I11 p: grew by 70 MiB, at most 50 expected", "I11 p: 90 more descriptors than at first"]
    assert bounds.lag_is_gone("raw", 1.0, 5.0, budget_s=10) == []
    assert bounds.lag_is_gone("raw", 1.0, None, budget_s=10)
    assert bounds.lag_is_gone("raw", 1.0, 20.0, budget_s=10)
    assert bounds.queues_are_empty({"a": 0, "b": 2}) == ["I11: 2 messages left in b"]
    one = [(0, b"a"), (1, b"b")]
    assert parsing.replays_are_identical(one, one) == []
    assert "differ at message 1" in parsing.replays_are_identical(one, [(0, b"a"), (1, b"c")])[0]
