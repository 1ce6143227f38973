"""One-minute bars: an image for each trade, one closed event, whatever closes it and whatever comes late."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.books.bars import Bars

TRADE = (
    b'{"ch":"trade","s":"%b","n":1,"ep":"%b","rx":17951409,"q":5,"m":"STO","bd":"%b","mt":"X",'
    b'"ts":"2026-11-20T02:%02d:%02d.123Z","ses":"40","tx":"021500120","p":%b,"v":%b,"vol":412300,"val":40611550000.0}'
)


def trade(
    minute: int, price: str = "98500.0", quantity: str = "100", *, symbol: str = "FPT", board: str = "G1",
    epoch: str = "20261120-1",
) -> bytes:  # fmt: skip
    texts = (text.encode() for text in (symbol, epoch, board))
    return TRADE % (*texts, minute, minute % 60, price.encode(), quantity.encode())


def brief(records: list[bytes]) -> list[tuple[object, ...]]:
    """(n, minute, o h l c v trades, closed)."""
    rows = [json.loads(record) for record in records]
    return [(r["n"], r["start"][14:16], *(r[m] for m in ("o", "h", "l", "c", "v", "trades", "closed"))) for r in rows]


def test_an_image_byte_for_byte() -> None:
    assert Bars().trade(trade(15, "98500.50", "300")) == [
        b'{"ch":"bar","s":"FPT","n":1,"ep":"20261120-1","rx":17951409,"q":5,"m":"STO","bd":"G1","mt":"X",'
        b'"ts":"2026-11-20T02:15:15.123Z","start":"2026-11-20T02:15:00Z","o":98500.50,"h":98500.50,"l":98500.50,'
        b'"c":98500.50,"v":300,"trades":1,"val":29550150.00,"closed":false}'
    ]


def test_a_minute_of_trades_then_the_next() -> None:
    bars = Bars()
    made = [record for text in ("5", "9.5", "3", "4") for record in bars.trade(trade(15, text, "10"))]
    made += bars.trade(trade(17, "6", "1"))
    assert brief(made) == [
        (1, "15", 5, 5, 5, 5, 10, 1, False), (2, "15", 5, 9.5, 5, 9.5, 20, 2, False),
        (3, "15", 5, 9.5, 3, 3, 30, 3, False), (4, "15", 5, 9.5, 3, 4, 40, 4, False),
        (5, "15", 5, 9.5, 3, 4, 40, 4, True), (6, "17", 6, 6, 6, 6, 1, 1, False),
    ]  # fmt: skip
    assert json.loads(made[4])["val"] == 5 * 10 + 95 + 30 + 40


def test_the_clock_closes_what_rests_and_the_numbers_are_the_same() -> None:
    by_clock, by_trade = Bars(), Bars()
    for bars in (by_clock, by_trade):
        bars.trade(trade(15))
    assert by_clock.close_until(b"2026-11-20T02:15:59.999Z") == []
    closed = by_clock.close_until(b"2026-11-20T02:16:00.000Z")
    assert brief(closed) == [(2, "15", 98500, 98500, 98500, 98500, 100, 1, True)]
    assert by_clock.close_until(b"2026-11-20T02:16:01.000Z") == []
    assert closed + by_clock.trade(trade(18)) == by_trade.trade(trade(18))


def test_a_late_trade_is_added_to_its_bar_and_the_event_sent_again() -> None:
    bars = Bars()
    for minute, price in ((15, "5"), (15, "6"), (16, "7")):
        bars.trade(trade(minute, price))
    assert brief(bars.trade(trade(15, "9"))) == [(5, "15", 5, 9, 5, 6, 300, 3, True)]
    assert brief(bars.trade(trade(16, "8"))) == [(6, "16", 7, 8, 7, 8, 200, 2, False)]
    bars.close_until(b"2026-11-20T02:17:00")
    assert brief(bars.trade(trade(16, "1"))) == [(8, "16", 7, 8, 1, 8, 300, 3, True)]
    assert (bars.trade(trade(14)), bars.late) == ([], 1)


def test_boards_have_bars_of_their_own_and_share_the_numbers() -> None:
    bars = Bars()
    made = [*bars.trade(trade(15, "5")), *bars.trade(trade(15, "4", board="G4")), *bars.trade(trade(16, "6"))]
    assert [(json.loads(r)["bd"], json.loads(r)["n"], json.loads(r)["closed"]) for r in made] == [
        ("G1", 1, False), ("G4", 2, False), ("G1", 3, True), ("G1", 4, False),
    ]  # fmt: skip
    assert [row[0] for row in brief(bars.trade(trade(15, symbol="VNM")))] == [1]


def test_an_epoch_begins_the_numbers_anew_and_not_the_bar() -> None:
    bars = Bars()
    bars.trade(trade(15, "5"))
    assert brief(bars.trade(trade(15, "6", epoch="20261120-2"))) == [(1, "15", 5, 6, 5, 6, 200, 2, False)]
    made = bars.trade(trade(16, "7", epoch="20261120-3"))
    assert [(json.loads(r)["ep"], json.loads(r)["n"]) for r in made] == [("20261120-2", 2), ("20261120-3", 1)]


@pytest.mark.parametrize("kept", [0, -1])
def test_going_on_from_a_kept_image(kept: int) -> None:
    first, second = Bars(), Bars()
    made = [record for text in ("5.50", "7", "6") for record in first.trade(trade(15, text))]
    made += first.close_until(b"2026-11-20T02:16:00Z") if kept else []
    second.restore(made[-1])
    second.restore(made[0])  # an older one changes nothing
    for late_or_not in (trade(15, "9.25"), trade(16, "8")):
        assert second.trade(late_or_not) == first.trade(late_or_not)


def test_restoring_something_else_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a bar"):
        Bars().restore(trade(15))


@pytest.mark.parametrize("member", [b'"p":98500.0', b'"v":100', b'"ts":"2026-11-20T02:15:15.123Z"'])
def test_a_trade_without_price_quantity_or_time_is_counted(member: bytes) -> None:
    bars = Bars()
    name = member[: member.index(b":") + 1]
    assert (bars.trade(trade(15).replace(member, name + b"null")), bars.unreadable) == ([], 1)


TRADES = st.lists(
    st.tuples(st.integers(10, 14), st.decimals("0.01", "200000", places=2), st.integers(1, 10**9)), min_size=1
)


@given(TRADES)
def test_closed_bars_are_the_trades_of_their_minute(rows: list[tuple[int, Decimal, int]]) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    bars = Bars()
    trades = [trade(minute, str(price), str(quantity)) for minute, price, quantity in rows]
    made = [record for each in trades for record in bars.trade(each)]
    made += bars.close_until(b"2026-11-20T02:59:00Z")
    found = [json.loads(record, parse_float=Decimal, parse_int=Decimal) for record in made]
    assert [row["n"] for row in found] == list(range(1, len(found) + 1))
    closed = [tuple(r[m] for m in ("o", "h", "l", "c", "v", "trades", "val")) for r in found if r["closed"]]
    expected = []
    for _, group in groupby(rows, key=lambda row: row[0]):
        of_minute = list(group)
        prices = [price for _, price, _ in of_minute]
        expected.append((
            prices[0], max(prices), min(prices), prices[-1], sum(q for *_, q in of_minute), len(of_minute),
            sum(price * quantity for _, price, quantity in of_minute),
        ))  # fmt: skip
    assert closed == expected
