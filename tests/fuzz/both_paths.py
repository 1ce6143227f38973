"""Parses the same datagrams twice: with layouts learnt on the way, and by the general path alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import NamedTuple

from feeds.blocks import Block, decode_block
from feeds.capture.raw_stage import RawMessage, RawStage
from feeds.parser import checkpoint
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translation, Translator
from tests.feeds.data_path import EPOCH, MS, T0_NS, feed_config


class GeneralOnly(Translator):
    """Forgets every layout before it could be used."""

    def _route(self, text: str) -> Translation:
        try:
            return super()._route(text)
        finally:
            self.layouts.clear()


class Outcome(NamedTuple):
    """Everything that a parser's work shows: records, dead letters, counts, and the state it would hand on."""

    records: list[str]
    dead: list[tuple[str, int, bytes]]
    counts: dict[str, object]
    state: object


def arbitrated(datagrams: Iterable[bytes]) -> list[RawMessage]:
    """RAW of one partition, a datagram a millisecond on line A."""
    stage = RawStage(feed_config(partitions=1), "live", "fuzz")
    out: list[RawMessage] = []
    for number, data in enumerate(datagrams, start=1):
        stage.push(Block(7, EPOCH, number, [(T0_NS + number * MS, 0, 0, data)]))
        out += stage.drain()
    stage.finish()
    return out + stage.drain()


def parsed(raw: Iterable[RawMessage], translator: Translator) -> Outcome:
    """What one parser makes of it."""
    pipeline = Pipeline(0, {}, translator=translator, counts=ParserCounts())
    records: list[str] = []
    dead: list[tuple[str, int, bytes]] = []
    for message in raw:
        found = pipeline.feed(decode_block(message.body)[0], "live", "KRX")
        records += found.records
        dead += [(letter.reason, letter.offset, letter.data) for letter in found.dead]
    counts = {field.name: _plain(getattr(pipeline.counts, field.name)) for field in fields(pipeline.counts)}
    state = json.loads(checkpoint.encode(pipeline, "run", "fuzz"))
    for context in state["contexts"]:  # a layout makes its channel's place before there is a stream in it
        context["streams"] = {channel: by_key for channel, by_key in context["streams"].items() if by_key}
    return Outcome(records, dead, counts, state)


def by_both(datagrams: Iterable[bytes], translator: Translator | None = None) -> tuple[Outcome, Outcome, Translator]:
    """(layouts where they match, the general path alone, the translator that learnt)."""
    raw = arbitrated(datagrams)
    learning = translator if translator is not None else Translator()
    return parsed(raw, learning), parsed(raw, GeneralOnly()), learning


def _plain(value: object) -> object:
    """Counts by name as an ordinary dict, those of 0 left out: looking one up makes it in a defaultdict."""
    return {name: count for name, count in value.items() if count} if isinstance(value, dict) else value
