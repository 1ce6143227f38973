"""What is read of a raw message, and how repeats and losses are told, each as a transcript."""

from __future__ import annotations

import json

import pytest

from subscriptions.gateway import raw_order
from subscriptions.gateway.raw_order import Chains, Identities, place_of
from subscriptions.gateway.raw_records import RawMessage, read
from tests.feeds.wire import message

TICKERS = {"VN000000FPT1": "FPT"}
PLACE = ("live", "KRX", "0")


def headers(publisher: str, number: int, **more: object) -> dict[str, object]:
    return {"origin": "live", "feed": "KRX", "partition": 0, "pub": publisher, "no": number} | more


def test_chains_of_publishers() -> None:
    chains = Chains()
    new, again, lost = (True, False), (False, False), (True, True)
    transcript = [
        (headers("a", 7), new),  # the first that we hear: what was before is not ours
        (headers("a", 8), new),
        (headers("a", 8), again),
        (headers("a", 6), again),
        (headers("a", 10), lost),
        (headers("a", 0), new),  # a dead letter that was put in again: outside of the chain
        (headers("b", 1), new),  # the other one of a pair
        (headers("c", 1, **{"from": "a:10"}), new),  # restored, nothing missed
        (headers("d", 1, **{"from": "c:3"}), lost),  # restored; we had one of the three
        (headers("e", 2, **{"from": "d:1"}), lost),
        (headers("a", 3, partition=1), new),
        (headers("a", 3, origin="replay:1"), new),
        (headers("f", 1, **{"from": ":0"}), new),  # before it there was nobody
    ]
    assert [chains.take(one) for one, _ in transcript] == [said for _, said in transcript]
    assert (chains.repeated, chains.lost) == (2, 3)
    for wrong in ({}, headers("a", 1) | {"no": "x"}):
        with pytest.raises((KeyError, ValueError)):
            chains.take(wrong)


def test_chains_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_order, "CHAINS_MAX", 3)
    chains = Chains()
    for number in range(20):
        assert chains.take(headers(f"p{number}", 1)) == (True, False)
    assert len(chains._last) == 3
    assert chains.take(headers("p19", 3)) == (True, True)


def raw(number: int, msg_type: str = "X", market: str = "STO") -> RawMessage:
    found = read(message(msg_type, number, (30001, market), (55, "VN000000FPT1")), TICKERS, feed="KRX")
    assert found is not None
    return found


def test_identities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_order, "UNSEQUENCED_MAX", 2)
    known = Identities()
    assert known.enter(PLACE, 5)
    gap = json.dumps({"market": "STO", "stream": "market", "from": 2, "to": 4}).encode()
    assert [known.is_new(PLACE, raw(n)) for n in (1, 3, 3, 2)] == [True, True, False, False]
    known.declare_gap(PLACE, gap)  # of it 4 alone is beyond what came
    assert [known.is_new(PLACE, raw(n)) for n in (4, 4, 2)] == [True, False, False]
    # f shares the market's sequence, d has its own; so has another market
    assert [known.is_new(PLACE, raw(4, kind)) for kind in ("f", "d", "d")] == [False, True, False]
    assert known.is_new(PLACE, raw(1, market="STX"))
    unsequenced = [raw(0), raw(7, "M1"), raw(0), raw(8, "M1"), raw(9, "M1"), raw(0)]  # the third pushed it out
    assert [known.is_new(PLACE, one) for one in unsequenced] == [True, True, False, True, True, True]
    assert not known.enter(PLACE, 4)
    assert known.enter(PLACE, 6)
    assert known.is_new(PLACE, raw(1))
    assert known.enter(place_of(headers("a", 1, origin="replay:1")), 1)
    assert known.duplicates == 7


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (message("X", 5, (30001, "STO"), (20004, "G1"), (55, "VN000000FPT1")), ("FPT", "STO", "G1", "X", 5)),
        (message("X", 5, (30001, "STO"), (55, "VN000000ZZZ9")), ("VN000000ZZZ9", "STO", "", "X", 5)),
        (message("MD", 5, (30001, "STO"), (55, "VN000000FPT1")), ("FPT", "STO", "", "MD", 5)),
        (message("M1", 5, (30001, "STO"), (30167, "777")), ("STO.777", "STO", "", "M1", 5)),
        (message("M1", 5, (30001, "STO")), ("feed:STO", "STO", "", "M1", 5)),
        (message("f", 5, (30001, "STO"), (20004, "G1"), (55, "VN000000FPT1")), ("FPT", "STO", "G1", "f", 5)),
        (message("MV", 5), ("feed:KRX", "", "", "MV", 5)),
        (message("X", 5, (30001, "STO"), (20004, 'G"'), (55, 'A"\\\n')), ('A\\"\\\\\\n', "STO", 'G\\"', "X", 5)),
    ],
)
def test_a_message_is_read_as_its_records_are_named(data: bytes, expected: tuple[object, ...]) -> None:
    found = read(data, TICKERS, feed="KRX")
    assert found is not None
    assert (found.symbol, found.market, found.board, found.msg_type, found.number) == expected
    record = json.loads(found.record(1, epoch="20261120-1.a", origin="replay:4", rx_ns=9))
    assert (record["job"], record["rx"], record["q"]) == ("replay:4", 9, 5)


def test_what_is_no_message_and_a_time_that_is_none() -> None:
    assert read(b"noise", TICKERS, feed="KRX") is None
    found = read(message("X", 5, sent="yesterday"), TICKERS, feed="KRX")
    assert found is not None
    assert json.loads(found.record(1, epoch="e", origin="live", rx_ns=9))["ts"] is None
