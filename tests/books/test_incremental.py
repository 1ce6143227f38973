"""A book from snapshots and diffs: whatever is lost, repeated or late, a live book is the true one."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from subscriptions.books.incremental import DIFFS_MAX, Diff, IncrementalBook, State
from subscriptions.books.ladder import Ladder, Level
from tests.conftest import SHARED_DATA

WS = SHARED_DATA / "binance_futures.ws"
ONE: list[Level] = [(b"98500", b"1")]


def diff(first: int, last: int, price: str = "98500", quantity: str = "1", *, previous: int | None = None) -> Diff:
    return Diff(first, last, [(price.encode(), quantity.encode())], [], previous)


def bids(book: IncrementalBook) -> list[str]:
    return [f"{p.decode()}:{q.decode()}" for p, q in book.ladder().bids]


def test_diffs_wait_for_the_snapshot() -> None:
    book = IncrementalBook()
    states = [book.diff(diff(n, n, str(n), "1")) for n in (9, 10, 11, 12)]
    states.append(book.snapshot(10, [(b"5", b"2")], [(b"20", b"1")]))
    assert states == [State.WAITING] * 4 + [State.LIVE]
    assert (bids(book), book.last) == (["12:1", "11:1", "5:2"], 12)


def test_a_hole_is_a_gap_until_a_newer_snapshot() -> None:
    book = IncrementalBook()
    book.snapshot(10, ONE, [])
    assert book.diff(diff(12, 12)) is State.GAP
    assert book.diff(diff(13, 13, "98400")) is State.GAP
    assert book.snapshot(10, ONE, []) is State.GAP  # older than what waits
    assert book.snapshot(12, ONE, []) is State.LIVE
    assert (bids(book), book.last, book.gaps) == (["98500:1", "98400:1"], 13, 2)


def test_repeated_diffs_change_nothing() -> None:
    book = IncrementalBook()
    book.snapshot(10, ONE, [])
    for again in (diff(10, 10, quantity="7"), diff(9, 10, quantity="7"), diff(11, 11, quantity="3"), diff(11, 11)):
        assert book.diff(again) is State.LIVE
    assert bids(book) == ["98500:3"]


def test_only_the_first_diff_may_begin_before_the_snapshot() -> None:
    book = IncrementalBook()
    book.snapshot(10, ONE, [])
    assert book.diff(diff(8, 12)) is State.LIVE
    assert book.diff(diff(12, 14)) is State.GAP


def test_numbers_with_holes_are_linked_by_previous() -> None:
    book = IncrementalBook()
    book.snapshot(100, ONE, [])
    steps = [diff(95, 103, previous=90), diff(110, 120, previous=103), diff(121, 130, previous=119)]
    assert [book.diff(step) for step in steps] == [State.LIVE, State.LIVE, State.GAP]
    other = IncrementalBook()
    other.snapshot(100, ONE, [])
    assert other.diff(diff(107, 110, previous=104)) is State.GAP


def test_equal_prices_meet_whatever_their_spelling_and_gone_levels_may_be_unknown() -> None:
    book = IncrementalBook()
    book.snapshot(1, [(b"98500.0", b"1"), (b"0", b"50")], [])
    book.diff(diff(2, 2, "98500", "5"))
    book.diff(diff(3, 3, "98100", "0"))
    book.diff(diff(4, 4, "98600.50", "2"))
    assert bids(book) == ["0:50", "98600.50:2", "98500:5"]
    book.diff(diff(5, 5, "98600.5", "0.00"))
    assert bids(book) == ["0:50", "98500:5"]
    assert book.ladder(1).bids == [(b"0", b"50")]


def test_waiting_diffs_are_bounded() -> None:
    book = IncrementalBook()
    for n in range(1, DIFFS_MAX + 3):
        book.diff(diff(n, n))
    assert book.dropped == 2
    assert book.snapshot(0, [], []) is State.GAP
    assert book.snapshot(DIFFS_MAX + 2, ONE, []) is State.LIVE


def test_a_new_connection_needs_a_new_snapshot() -> None:
    book = IncrementalBook()
    book.snapshot(1, ONE, [])
    book.reset()
    assert book.diff(diff(2, 2)) is State.WAITING


STEPS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3), st.integers(1, 3)), max_size=40)


@given(STEPS, st.data())
def test_a_live_book_is_the_true_one(steps: list[tuple[int, int, int]], data: st.DataObject) -> None:
    """Diffs are lost, doubled and swapped at random; a snapshot comes after each gap."""
    truth: dict[bytes, bytes] = {}
    history: list[tuple[int, dict[bytes, bytes]]] = [(0, {})]
    sent: list[Diff] = []
    last = 0
    for price, quantity, width in steps:
        level = (b"%d" % price, b"%d" % quantity)
        sent.append(Diff(last + 1, last + width, [level], []))
        last += width
        truth[level[0]] = level[1]
        history.append((last, dict(truth)))
    book = IncrementalBook()
    at = data.draw(st.sampled_from(history))
    book.snapshot(at[0], list(at[1].items()), [])
    arriving = [step for step in sent for _ in range(data.draw(st.integers(0, 2)))]
    for step in arriving:
        if book.diff(step) is not State.LIVE:
            at = data.draw(st.sampled_from(history))
            book.snapshot(at[0], list(at[1].items()), [])
        if book.state is State.LIVE:
            true = next(levels for number, levels in history if number == book.last)
            whole = {price: quantity for price, quantity in true.items() if quantity != b"0"}
            assert dict(book.ladder().bids) == whole


def pairs(rows: list[list[str]]) -> list[Level]:
    return [(price.encode(), quantity.encode()) for price, quantity in rows]


def recorded_messages() -> list[tuple[float, str, dict[str, Any]]]:
    """(time, symbol, message) of the diffs and of the REST snapshots, in the order in which they arrived."""
    found = []
    for line in WS.read_text().splitlines()[1:]:
        at, _, text = line.partition(": ")
        data = json.loads(text)["data"] if text.startswith("{") else {}
        if data.get("e") == "depthUpdate":
            found.append((float(at), data["s"], data))
    for line in WS.with_suffix(".http").read_text().splitlines():
        if match := re.match(r".*/depth\?symbol=(\w+)\S* -> ([\d.]+): (.*)", line):
            found.append((float(match[2]), match[1], json.loads(match[3])))
    return sorted(found, key=lambda row: row[0])


if WS.exists():

    def test_the_recorded_exchange_session_leads_to_the_recorded_ladders() -> None:
        """REST snapshots and depth diffs as the exchange sent them; the ladders are those of recorded_session.json."""
        books: dict[str, IncrementalBook] = {}
        live: Counter[str] = Counter()
        for _, symbol, message in recorded_messages():
            book = books.setdefault(symbol, IncrementalBook())
            if "lastUpdateId" in message:
                book.snapshot(message["lastUpdateId"], pairs(message["bids"]), pairs(message["asks"]))
            else:
                sides = pairs(message["b"]), pairs(message["a"])
                book.diff(Diff(message["U"], message["u"], *sides, message["pu"]))
            live[symbol] += book.state is State.LIVE
        expected = json.loads(WS.with_name("recorded_session.json").read_text())["symbols"]
        assert {symbol: book.gaps for symbol, book in books.items()} == dict.fromkeys(expected, 0)
        for symbol, row in expected.items():
            assert live[symbol] > 50
            assert books[symbol].ladder(10) == Ladder.of_levels(pairs(row["bids"]), pairs(row["asks"])), symbol
