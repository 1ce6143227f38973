"""Turns one event of the timetable into the messages of one market."""

from collections.abc import Iterator

from feeds.simulator import bulletins
from feeds.simulator.day import DayEvent
from feeds.simulator.message import Message
from feeds.simulator.traffic import Traffic


def play_event(event: DayEvent, traffic: Traffic) -> Iterator[Message]:
    """The event's messages, made one by one as they are drawn; the phase changes after the last of them."""
    yield from _ACTS[event.act](event, traffic)
    if event.phase:
        traffic.start_phase(event.phase)


def _prepare(event: DayEvent, traffic: Traffic) -> Iterator[Message]:
    yield from bulletins.preparation(traffic.market)


def _status(event: DayEvent, traffic: Traffic) -> Iterator[Message]:
    """The board's event, then the same for each symbol of the main board, as on the real feed."""
    market = traffic.market
    market.trading_session = event.trading_session
    whole_day = event.open_close in ("BS", "BE")
    for board in market.rules.boards if whole_day else ("G1",):
        yield market.board_status(board, event.board_event, event.open_close)
    for security in market.securities:
        yield market.symbol_status(security, event.board_event, event.trading_session)


def _uncross(event: DayEvent, traffic: Traffic) -> Iterator[Message]:
    """The auction is executed: each symbol trades once, at its last expected price."""
    market = traffic.market
    yield market.board_status("G1", event.board_event, event.open_close)
    for security in market.securities:
        book = security.book("G1")
        book.open_at(security.expected_place)
        if security.expected_quantity:
            yield market.trade(security, "G1", (security.expected_place, security.expected_quantity))
        yield market.book(security, "G1")
    market.trading_session = event.trading_session


def _expand(event: DayEvent, traffic: Traffic) -> Iterator[Message]:
    """The price limits of every contract are announced anew."""
    for security in traffic.market.securities:
        yield bulletins.limit_expansion(traffic.market, security)


def _finish(event: DayEvent, traffic: Traffic) -> Iterator[Message]:
    """After the close: M8 for each symbol, the final M1, MT."""
    market = traffic.market
    for security in market.securities:
        yield bulletins.closing(market, security, "G3" if "G3" in market.rules.boards else "G1")
    yield from bulletins.indices(market)
    for security in market.securities:
        yield bulletins.foreign_trading(market, security)


_ACTS = {"prepare": _prepare, "status": _status, "uncross": _uncross, "expand": _expand, "finish": _finish}
