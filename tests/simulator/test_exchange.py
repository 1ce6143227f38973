"""A whole day of the fake exchange: sequences, types, timetable, prices and totals."""

from collections import Counter, defaultdict

import pytest

from feeds.simulator.exchange import Exchange
from feeds.simulator.message import Message
from feeds.simulator.sequences import stream_of
from feeds.simulator.stamp import stamp_of, trading_time_s
from tests.simulator.trading_days import FEEDS, START_NS, day_of, fields_of

ROUTED = {"X", "f", "M7", "M8", "ME", "MF", "MX", "d", "M1", "MT", "MA", "W", "ML"}


def first_values(message: Message) -> dict[int, str]:
    """The first value of each tag: what stands before a repeating group."""
    return dict(reversed(fields_of(message.data)))


def of_type(messages: list[Message], msg_type: str) -> list[dict[int, str]]:
    return [first_values(message) for message in messages if message.msg_type == msg_type]


def test_every_routed_type_the_heartbeat_and_unrouted_types_occur(trading_day: list[Message]) -> None:
    assert {message.msg_type for message in trading_day} == ROUTED | {"MV", "MD", "M4"}
    assert {message.msg_type for message in day_of(seed=2)} == ROUTED | {"MV"}


def test_sequences_are_contiguous_from_one_in_every_stream(trading_day: list[Message]) -> None:
    streams = defaultdict(list)
    for message in trading_day:
        if message.msg_type != "MV":
            streams[message.market, message.stream].append(message.sequence)
            assert message.stream == stream_of(message.market, message.msg_type)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in streams.values())
    assert {market for market, _ in streams} == set(FEEDS)


@pytest.mark.parametrize(
    ("market", "msg_type", "stream"),
    [("STO", "X", "market"), ("STO", "MF", "market"), ("DVX", "MX", "market"), ("STO", "MX", "MX"),
     ("STO", "M1", "M1"), ("STX", "W", "W"), ("DVX", "d", "d")],
)  # fmt: skip
def test_streams_share_a_counter_as_the_exchange_does(market: str, msg_type: str, stream: str) -> None:
    assert stream_of(market, msg_type) == stream


def test_the_identity_beside_the_bytes_is_the_identity_in_them(trading_day: list[Message]) -> None:
    for message in trading_day:
        values = first_values(message)
        assert values[35] == message.msg_type
        assert int(values[34]) == message.sequence
        assert values.get(30001, "") == message.market
        if message.msg_type != "ML":
            assert values.get(55, "") == message.isin


def test_the_heartbeat_has_tag_60_alone_and_no_sequence(trading_day: list[Message]) -> None:
    beat = next(message for message in trading_day if message.msg_type == "MV")
    assert [tag for tag, _ in fields_of(beat.data)] == [8, 9, 35, 49, 56, 34, 52, 60, 10]
    assert beat.sequence == 0


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    assert day_of(seed=5, symbols=3) == day_of(seed=5, symbols=3)
    assert day_of(seed=5, symbols=3) != day_of(seed=6, symbols=3)


def test_the_board_events_of_hose_come_in_the_order_of_the_day(trading_day: list[Message]) -> None:
    events = [
        (values[20005], values[336])
        for message in trading_day
        if message.msg_type == "f" and message.market == "STO" and not message.isin
        for values in [first_values(message)]
        if values[20004] == "G1"
    ]
    assert events == [
        ("AA1", "10"), ("AD2", "10"), ("BB1", "40"), ("AW8", "90"), ("AW9", "40"), ("BC1", "30"), ("AC2", "30"),
        ("AB2", "99"),
    ]  # fmt: skip


def test_definitions_come_first_and_closing_prices_last(trading_day: list[Message]) -> None:
    for market in FEEDS:
        types = [message.msg_type for message in trading_day if message.market == market]
        assert types[0] == "d"
        assert "X" not in types[: len(types) - 1 - types[::-1].index("d")]
        assert "X" not in types[types.index("M8") :]
        assert types[-1] == "MT"


def test_one_definition_for_each_symbol_and_board(trading_day: list[Message]) -> None:
    definitions = of_type(trading_day, "d")
    keys = Counter((values[30001], values[55], values[20004]) for values in definitions)
    assert set(keys.values()) == {1}
    assert Counter(market for market, _, _ in keys) == {"STO": 18, "STX": 24, "UPX": 18, "DVX": 4}
    assert {values[911] for values in definitions if values[30001] == "STO"} == {"18"}


def test_every_traded_price_is_inside_the_limits_of_the_definition(trading_day: list[Message]) -> None:
    limits = {
        values[55]: (float(values[1148]), float(values[1149]))
        for values in of_type(trading_day, "d")
        if values[20004] == "G1"
    }
    checked = 0
    for message in trading_day:
        if message.msg_type in ("X", "ME"):
            floor, ceiling = limits[message.isin]
            prices = [float(value) for tag, value in fields_of(message.data) if tag in (270, 30552)]
            assert all(price == 0.0 or floor <= price <= ceiling for price in prices), message
            checked += len(prices)
    assert checked > 5_000


def test_volume_and_value_are_the_sums_of_the_trades(trading_day: list[Message]) -> None:
    volume: Counter[tuple[str, str]] = Counter()
    value: Counter[tuple[str, str]] = Counter()
    trades = [message for message in trading_day if message.msg_type == "X" and b"\x01387=" in message.data]
    for message in trades:
        fields = fields_of(message.data)
        values = dict(reversed(fields))
        prices = [float(one) for tag, one in fields if tag == 270]
        last, opened, high, low = prices
        key = values[55], values[20004]
        quantity = int(values[271])
        volume[key] += quantity
        value[key] += round(last * quantity * (100_000 if message.market == "DVX" else 1))
        assert int(values[387]) == volume[key]
        assert values[381] == f"{value[key]}.0"
        assert low <= last <= high
        assert low <= opened <= high
    assert len(volume) > 20


def test_books_never_cross_and_have_the_depth_of_their_market(trading_day: list[Message]) -> None:
    for message in trading_day:
        if message.msg_type == "X" and b"\x0130521=" in message.data:
            fields = fields_of(message.data)
            prices = [float(value) for tag, value in fields if tag == 270]
            assert len(prices) == 2 * (3 if message.market == "STO" else 10) == int(dict(fields)[268])
            if prices[0] and prices[1]:
                assert prices[1] < prices[0]


def test_a_steady_session_never_rests_and_never_closes() -> None:
    exchange = Exchange({"DVX": ("DVX",)}, symbols=4, seed=1)
    exchange.set_time(START_NS, 0)
    while exchange.waiting:
        exchange.take(100)
    for second in range(1, 20):
        exchange.set_time(START_NS + second * 10**9, 0)
        assert len(exchange.take(200)) == 200
    assert exchange.phases == {"DVX": "continuous"}


def test_another_day_starts_the_sequences_again_around_yesterdays_close() -> None:
    exchange = Exchange({"UPX": ("UPX",)}, symbols=2, seed=1)
    exchange.set_time(START_NS, 0)
    exchange.take(500)
    close = exchange.markets[0].securities[0].last_place()
    price = exchange.markets[0].securities[0].price_texts[close]
    exchange.new_day()
    exchange.set_time(START_NS + 86_400 * 10**9, 0)
    first = exchange.take(1)[0]
    assert (first.msg_type, first.sequence) == ("d", 1)
    assert first_values(first)[20013] == price


def test_book_depth_can_be_five_as_in_the_test_of_2019() -> None:
    exchange = Exchange({"STO": ("STO",)}, symbols=2, depth=5)
    exchange.set_time(START_NS, 0)
    assert b"\x01268=10\x01" in b"".join(message.data for message in exchange.take(300))


def test_times_are_utc_and_the_trade_date_is_local() -> None:
    stamp = stamp_of(1_795_545_296_789_000_000)
    assert stamp.sending_time == "20261124 18:34:56.789"
    assert stamp.transact_time == "183456789"
    assert stamp.trade_date == "20261125"


def test_the_trading_time_is_local_and_stands_still_at_the_weekend() -> None:
    tuesday_evening_utc = 1_795_545_296_000_000_000
    assert trading_time_s(tuesday_evening_utc) == 1 * 3600 + 34 * 60 + 56
    assert [trading_time_s(tuesday_evening_utc + days * 86_400 * 10**9) > 0 for days in range(7)] == [
        True, True, True, False, False, True, True,
    ]  # fmt: skip


def test_a_market_that_joins_late_in_the_day_makes_up_for_the_morning_in_order() -> None:
    exchange = Exchange({"STO": ("STO",)}, symbols=2, seed=1, steady=False)
    exchange.set_time(START_NS, 14 * 3600)
    messages = []
    while exchange.waiting:
        messages += exchange.take(50)
    events = [first_values(one)[20005] for one in messages if one.msg_type == "f" and not one.isin]
    assert list(dict.fromkeys(events)) == ["AA1", "AD2", "BB1", "AW8", "AW9"]
    assert exchange.phases == {"STO": "continuous"}
    assert len(exchange.take(20)) == 20
