"""Whole trading days of the fake exchange, made without a clock."""

from collections.abc import Iterator

from feeds.simulator.day import DAY_END_S, DAY_START_S
from feeds.simulator.exchange import Exchange
from feeds.simulator.message import Message

FEEDS = {"STO": ("STO",), "STX": ("STX",), "UPX": ("UPX",), "DVX": ("DVX",)}
START_NS = 1_795_500_000_000_000_000
STEP_S = 60


def fields_of(data: bytes) -> list[tuple[int, str]]:
    """The (tag, value) pairs in wire order."""
    pairs = (part.partition("=") for part in data.decode("ascii").rstrip("\x01").split("\x01"))
    return [(int(tag), value) for tag, _, value in pairs]


def whole_day(exchange: Exchange, *, per_step: int = 15) -> Iterator[Message]:
    """08:00 to 15:10 minute by minute; events are sent to their end before the next step."""
    for step, day_time_s in enumerate(range(DAY_START_S, DAY_END_S + 1, STEP_S)):
        now_ns = START_NS + step * STEP_S * 1_000_000_000
        exchange.set_time(now_ns, day_time_s)
        yield from exchange.heartbeats()
        while exchange.waiting:
            yield from exchange.take(50)
        yield from exchange.take(per_step)


def day_of(seed: int = 1, *, symbols: int = 6, unrouted: bool = False) -> list[Message]:
    return list(whole_day(Exchange(FEEDS, symbols=symbols, seed=seed, steady=False, unrouted=unrouted)))
