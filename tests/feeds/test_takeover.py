"""A parser's successor goes on from the checkpoint and makes the same records with the same numbers, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.blocks import decode_block
from feeds.capture.raw_stage import RawMessage, RawStage
from feeds.journal import START, JournalReader, JournalWriter
from feeds.parser import checkpoint
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator
from tests.feeds.data_path import EPOCH, MS, T0_NS, DataPath, feed_config
from tests.feeds.fault_scripts import Script, scripts
from tests.feeds.golden_messages import FIRST, SECOND, by_type, definition
from tests.feeds.journals import read_all
from tests.feeds.wire import book, expected, trade

Numbered = tuple[int, str]  # record number in (origin, feed, partition), text


def pipeline(tickers: dict[str, str] | None = None) -> Pipeline:
    return Pipeline(0, {} if tickers is None else tickers, translator=Translator(), counts=ParserCounts())


def parse(parser: Pipeline, raw: list[RawMessage]) -> list[Numbered]:
    out: list[Numbered] = []
    for message in raw:
        parsed = parser.feed(decode_block(message.body)[0], str(message.headers["origin"]), "KRX")
        out += list(enumerate(parsed.records, start=parsed.first))
    return out


def a_day() -> list[RawMessage]:
    """RAW of one partition with all that a context remembers: names, gaps, late copies, a reset, garbage."""
    path = DataPath(partitions=1)
    path.arrive(definition(1, FIRST), trade(1), book(2), trade(5), b"noise", *list(by_type(1, SECOND).values())[5:])
    path.parse()
    path.stage.tick(path.now_ns + 300 * MS)
    path.parse()
    for data in (trade(3), trade(0), definition(2, SECOND), expected(6), book(7, isin="VN000000VNM8"), trade(3)):
        path.arrive(data)
        path.parse()
    path.now_ns += 6_000 * MS
    for data in (trade(1, price="5.0"), trade(2, price="6.0"), trade(4), trade(3)):
        path.arrive(data)
        path.parse()
    path.finish()
    return path.raw


RAW = a_day()


@pytest.mark.parametrize("died", range(len(RAW) + 1))
@pytest.mark.parametrize("behind", [0, 1, 3])
def test_killed_after_any_message(died: int, behind: int) -> None:
    """F29. The last checkpoint is `behind` messages back; what came after it is delivered again."""
    whole = parse(pipeline(), RAW)
    first = pipeline()
    kept = max(0, died - behind)
    made = parse(first, RAW[:kept])
    state = checkpoint.encode(first, "run1", "one")
    made += parse(first, RAW[kept:died])

    found = checkpoint.decode(state)
    successor = pipeline()
    successor.contexts = {(c.origin, c.feed): c for c in found.contexts}
    again = parse(successor, RAW[kept:])
    assert (found.run, found.owner) == ("run1", "one")
    assert made + [row for row in again if row[0] > len(made)] == whole
    repeated = [row for row in again if row[0] <= len(made)]
    assert repeated == made[len(made) - len(repeated) :]


def test_a_checkpoint_is_its_own_inverse() -> None:
    first = pipeline()
    parse(first, RAW)
    state = checkpoint.encode(first, "run1", "one")
    second = pipeline()
    second.contexts = {(c.origin, c.feed): c for c in checkpoint.decode(state).contexts}
    assert json.loads(checkpoint.encode(second, "run1", "one")) == json.loads(state)


@pytest.mark.parametrize(
    "broken", [b"", b"{}", b"[]", b'{"run":"r","owner":"o","contexts":[{}]}', b"nonsense", b"null"]
)
def test_what_is_no_checkpoint_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError):
        checkpoint.decode(broken)


@settings(max_examples=30, deadline=None)
@given(scripts(messages_max=12), st.floats(0, 1))
def test_takeover_over_random_faults(script: Script, share: float) -> None:
    path = DataPath(partitions=1)
    for ms, line, data in script.arrivals:
        path.entries([(T0_NS + ms * MS, "AB".index(line), 0, data)])
        path.parse()
    path.finish()
    kept = int(share * len(path.raw))
    first = pipeline()
    made = parse(first, path.raw[:kept])
    successor = pipeline()
    state = checkpoint.decode(checkpoint.encode(first, "r", "o"))
    successor.contexts = {(c.origin, c.feed): c for c in state.contexts}
    assert made + parse(successor, path.raw[kept:]) == parse(pipeline(), path.raw)


@settings(max_examples=10, deadline=None)
@given(scripts(messages_max=12))
def test_a_journal_replayed_twice_is_byte_identical(tmp_path_factory: pytest.TempPathFactory, script: Script) -> None:
    """I14."""
    folder = tmp_path_factory.mktemp("journal")
    writer = JournalWriter(folder, 7, segment_bytes=2_000)
    for ms, line, data in script.arrivals:
        writer.append([(T0_NS + ms * MS, "AB".index(line), 0, data)])
    writer.close()
    assert replayed(folder) == replayed(folder)


def replayed(folder: Path) -> list[tuple[int, bytes]]:
    """(partition, body) of every PARSED message of a replay of the whole journal."""
    stage = RawStage(feed_config(), "replay:1", publisher="r")
    parsers = [Pipeline(n, {}, translator=Translator(), counts=ParserCounts()) for n in range(4)]
    out: list[tuple[int, bytes]] = []
    blocks, _ = read_all(JournalReader(folder), START)
    assert all(block.epoch == EPOCH for block in blocks)
    for block in blocks:
        stage.push(block)
    stage.finish()
    for raw in [*stage.drain(), *stage.end()]:
        records = parsers[raw.partition].feed(decode_block(raw.body)[0], "replay:1", "KRX").records
        out.append((raw.partition, "\n".join(records).encode()))
    return out
