"""Breaks a rule of the data path on purpose, in this process only.

A test of the tests shows that the matching invariant says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from feeds.bus.amqp.outbox import AmqpOutbox
from feeds.bus.base import Delivery, Outgoing
from feeds.capture import colocated, cursor_keeper
from feeds.capture.colocated import ColocatedFeed
from feeds.capture.cursor import Cursor
from feeds.capture.cursor_keeper import CursorKeeper
from feeds.capture.going_back import GoingBack
from feeds.capture.raw_log import RawLog
from feeds.capture.raw_stage import RawMessage
from feeds.parser.context import Context
from feeds.parser.partition import PartitionParser
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Rejected, Translation, Translator


def no_dedup() -> None:
    """The parser takes every copy for new."""

    def is_new(*_arguments: object, **_named: object) -> bool:
        return False

    def never(_context: Context, _identity: int) -> bool:
        return False

    def in_order(_parser: PartitionParser, _delivery: Delivery) -> bool:
        return True

    Pipeline._is_new = is_new  # type: ignore[method-assign,assignment]
    Context.seen_before = never  # type: ignore[method-assign]
    PartitionParser._in_order = in_order  # type: ignore[method-assign]


def acknowledge_first() -> None:
    """The parser acknowledges RAW as it comes, before PARSED is published: what it holds dies with it."""
    real = PartitionParser._take

    async def take(parser: PartitionParser, delivery: Delivery) -> None:
        parser.subscription.ack(delivery)
        await real(parser, delivery)

    async def late(_outbox: AmqpOutbox, _message: Outgoing, _on_confirmed: object = None) -> None:
        """What is put is held back until the process dies."""

    PartitionParser._take = take  # type: ignore[method-assign]
    real_begin = PartitionParser._begin

    async def begin(parser: PartitionParser, generation: int) -> None:
        parser.parsed_box.put = late.__get__(parser.parsed_box)  # type: ignore[attr-defined]
        await real_begin(parser, generation)

    PartitionParser._begin = begin  # type: ignore[method-assign]


def no_cursor() -> None:
    """The publisher never saves its cursor: after a restart it begins at the journal's start with a new arbitration."""

    def offer(_keeper: CursorKeeper, _cursor: Cursor) -> None:
        """Nothing is kept."""

    CursorKeeper.offer = offer  # type: ignore[method-assign]


def cursor_before_confirm() -> None:
    """The publisher's cursor moves when a message is put, not when it is confirmed."""
    real = AmqpOutbox.put

    async def put(outbox: AmqpOutbox, message: Outgoing, on_confirmed: Callable[[], None] | None = None) -> None:
        if on_confirmed is not None:
            on_confirmed()
        await real(outbox, message, None)

    AmqpOutbox.put = put  # type: ignore[method-assign]
    cursor_keeper.INTERVAL_NS = 0


def no_raw_log() -> None:
    """A co-located publisher keeps nothing of what it released, and its cursor does not wait for the checkpoint."""
    real = ColocatedFeed.take

    async def take(way: ColocatedFeed, *released: Any) -> None:
        await real(way, *released)
        way.publisher.passed(released[-1])

    def append(_log: RawLog, _messages: Sequence[RawMessage]) -> None:
        """Nothing is written."""

    colocated.CHECKPOINT_S = 60.0  # so that the kill does not come right behind one
    ColocatedFeed.take = take  # type: ignore[method-assign]
    RawLog.append = append  # type: ignore[method-assign]


def never_goes_back() -> None:
    """The publisher does not hear a parser that asks for what the broker has lost."""

    def asked(_back: GoingBack, *_request: object) -> None:
        """Nothing is done."""

    GoingBack.asked = asked  # type: ignore[method-assign]


def drops_some() -> None:
    """The publisher forgets every 20th RAW message, takes it for confirmed, and does not go back for it."""
    never_goes_back()
    real, numbers = AmqpOutbox.put, itertools.count(1)

    async def put(outbox: AmqpOutbox, message: Outgoing, on_confirmed: Callable[[], None] | None = None) -> None:
        if next(numbers) % 20:
            await real(outbox, message, on_confirmed)
        elif on_confirmed is not None:
            on_confirmed()

    AmqpOutbox.put = put  # type: ignore[method-assign]


def refuses_a_price() -> None:
    """A parser of before a fix: it refuses trades at 098777.0, which no layout takes because of the leading zero."""
    general = Translator.general
    mark = b"270=098777.0"

    def refuse(translator: Translator, data: bytes) -> Translation:
        if mark in data:
            raise Rejected("UNKNOWN_CODE", data.index(mark), "refused before the fix")
        return general(translator, data)

    Translator.general = refuse  # type: ignore[method-assign]


RULES = {
    rule.__name__: rule
    for rule in (
        no_dedup,
        acknowledge_first,
        no_cursor,
        cursor_before_confirm,
        never_goes_back,
        no_raw_log,
        drops_some,
        refuses_a_price,
    )
}


def break_rule(name: str) -> None:
    """Break one by name; an empty name breaks none."""
    if name:
        RULES[name]()
