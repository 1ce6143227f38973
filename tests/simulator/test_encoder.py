"""The fast encoding against simplefix and against the real messages."""

import random
from pathlib import Path

import pytest
import simplefix
from hypothesis import given
from hypothesis import strategies as st

from feeds.simulator import layouts
from feeds.simulator.encoder import Layout, checksum
from tests.simulator.trading_days import fields_of

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "krx_samples.fix"
LAYOUTS = [value for value in vars(layouts).values() if isinstance(value, Layout)]
LAYOUTS += [build(depth) for build in (layouts.book_layout, layouts.recovery_layout) for depth in (3, 5, 10)]


def random_values(layout: Layout, rng: random.Random) -> tuple[object, ...]:
    """One value for each open field."""
    kinds = (lambda: rng.randrange(10**9), lambda: f"{rng.random() * 1e5:.1f}", lambda: "G1", lambda: "")
    return tuple(rng.choice(kinds)() for _ in range(layout.values_count))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: f"{layout.msg_type}-{layout.fragments_count}")
def test_every_layout_is_byte_equal_to_simplefix(layout: Layout) -> None:
    rng = random.Random(7)
    for sequence in (1, 99, 1_234_567):
        values = random_values(layout, rng)
        levels = [layout.fragment % (rng.random(), rng.randrange(10**6), 3) for _ in range(layout.fragments_count)]
        fast = layout.encode(sequence, "20261121 03:00:00.123", values, fragments=levels)
        assert fast == layout.reference(sequence, "20261121 03:00:00.123", values, fragments=levels)


def test_a_book_has_two_fragments_for_each_level() -> None:
    assert [layouts.book_layout(depth).fragments_count for depth in (3, 5, 10)] == [6, 10, 20]


def test_every_message_of_a_day_is_byte_equal_to_simplefix(trading_day: list) -> None:
    for message in trading_day[::7]:
        again = simplefix.FixMessage()
        for tag, value in fields_of(message.data):
            if tag not in (9, 10):
                again.append_pair(tag, value)
        assert message.data == again.encode()


@given(st.text(st.characters(max_codepoint=127), max_size=3000))
def test_checksum_is_the_sum_of_the_bytes(text: str) -> None:
    data = text.encode("ascii")
    assert checksum(data) == sum(data) % 256


def test_checksum_of_the_largest_ascii_bytes() -> None:
    assert checksum(b"\x7f" * 1500) == 127 * 1500 % 256


if SAMPLES.exists():

    @pytest.mark.parametrize(
        ("market", "shape"), [("STO", "book"), ("BDO", "trade"), ("STO", "d"), ("STO", "M8"), ("STO", "f")]
    )
    def test_the_field_order_is_that_of_the_real_messages(market: str, shape: str, trading_day: list) -> None:
        real = next(tags_of(line) for line in samples() if market in line.decode() and shape_of(line) == shape)
        # bonds alone have a yield in each entry
        real = [tag for tag in real if tag != 30270]
        if shape == "book":
            # five levels in the 2019 sample
            made = layouts.book_layout(5).encode(1, "", ("",) * 10, fragments=(layouts.EMPTY_LEVEL,) * 10)
            assert tags_of(made) == real
        else:
            of_type = (
                one.data for one in trading_day if one.msg_type == shape or (one.msg_type, shape) == ("X", "trade")
            )
            assert any(tags_of(data) == real for data in of_type)


def samples() -> list[bytes]:
    return [line for line in SAMPLES.read_bytes().split(b"\n") if line]


def tags_of(data: bytes) -> list[int]:
    return [tag for tag, _ in fields_of(data)]


def shape_of(data: bytes) -> str:
    tags = dict(fields_of(data))
    if tags[35] == "X":
        return "trade" if 387 in tags else "book"
    return tags[35]
