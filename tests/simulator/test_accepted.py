"""The parser's tables accept every message of the fake exchange."""

from feeds.fix.fields import split_fields
from feeds.fix.framing import check_frame
from feeds.krx.routers import TABLES, make_plan
from feeds.simulator.message import Message


def test_every_routed_message_of_a_day_has_a_plan(trading_day: list[Message]) -> None:
    planned = set()
    # the general path takes its time: every seventh, but each message of the rarer types
    sampled = [one for place, one in enumerate(trading_day) if place % 7 == 0 or one.msg_type not in ("X", "ME", "W")]
    for message in sampled:
        check_frame(message.data)
        if message.msg_type in TABLES:
            fields = split_fields(message.data.decode("ascii"))
            plan = make_plan(message.msg_type, fields)
            assert plan.render(fields)
            planned.add(message.msg_type)
    assert planned == set(TABLES)
