"""What the parser's core makes of RAW: once each, late copies apart, epochs, names, statistics, replays apart."""

from __future__ import annotations

import json

from feeds.blocks import FLAG_MESSAGE, Block, decode_block
from feeds.capture.raw_stage import RawStage
from feeds.parser.context import Context
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator
from tests.feeds.data_path import EPOCH, MS, T0_NS, DataPath, feed_config
from tests.feeds.golden_messages import FIRST, definition
from tests.feeds.wire import ISIN, book, expected, message, trade

NO_LIMITS = {"ref": None, "ceil": None, "floor": None}


def rows(records: list[str]) -> list[dict[str, object]]:
    return [json.loads(record) for record in records]


def brief(records: list[str]) -> list[tuple[object, ...]]:
    """(channel, symbol, number in its stream, source sequence)."""
    return [(r["ch"], r["s"], r["n"], r["q"]) for r in rows(records)]


def one_partition() -> DataPath:
    return DataPath(partitions=1)


def test_a_message_is_passed_on_once_by_its_identity() -> None:
    pipeline = Pipeline(0, {}, translator=Translator(), counts=ParserCounts())
    block = Block(7, EPOCH, 1, [(T0_NS, 0, FLAG_MESSAGE, expected(n)) for n in (1, 2)])
    again = Block(7, EPOCH, 9, [(T0_NS + 5, 1, FLAG_MESSAGE, expected(n, price="1.0")) for n in (1, 2, 3)])
    first, second = pipeline.feed(block, "live", "KRX"), pipeline.feed(again, "live", "KRX")
    assert [len(p.records) for p in (first, second)] == [2, 1]
    assert [(p.first, r["q"], r["n"]) for p in (first, second) for r in rows(p.records)] == [
        (1, 1, 1),
        (1, 2, 2),
        (3, 3, 3),
    ]
    assert (pipeline.counts.duplicates, pipeline.counts.parsed) == (2, {"ME": 3})


def test_numbers_are_contiguous_per_stream() -> None:
    path = one_partition()
    path.arrive(book(1), book(2, isin="B"), trade(3), book(4), expected(5), trade(6, isin="B"))
    path.finish()
    assert brief(path.records) == [
        ("depth", ISIN, 1, 1), ("depth", "B", 1, 2), ("trade", ISIN, 1, 3), ("stats", ISIN, 1, 3),
        ("depth", ISIN, 2, 4), ("expected", ISIN, 1, 5), ("trade", "B", 1, 6), ("stats", "B", 1, 6),
    ]  # fmt: skip


def test_a_late_event_is_passed_on_a_late_image_is_not() -> None:
    path = one_partition()
    path.arrive(trade(1), book(5))
    path.stage.tick(path.now_ns + 300 * MS)
    path.parse()
    path.records.clear()
    path.arrive(trade(2, price="1.0"), book(3), expected(4))
    path.finish()
    assert brief(path.records) == [("trade", ISIN, 2, 2)]
    assert (path.counts.late, path.counts.late_images) == (3, 3)  # the statistics of the trade, the book, the ME


def test_a_gap_is_one_record_of_partition_0_with_exact_range_and_times() -> None:
    path = DataPath(partitions=4)
    path.arrive(trade(1), trade(5))
    path.stage.tick(path.now_ns + 300 * MS)
    path.parse()
    gaps = [r for r in rows(path.records) if r["mt"] == "gap"]
    at = T0_NS + 2 * MS
    assert gaps == [
        {
            "ch": "status", "s": "feed:KRX", "n": 1, "ep": "20261120-1", "rx": at + 300 * MS, "q": None, "m": "STO",
            "bd": None, "mt": "gap", "ts": "2026-11-20T02:15:00.302Z", "event": "gap", "stream": "STO.market",
            "from": 2, "to": 4, "count": 3, "t0": at - MS, "t1": at,
        }
    ]  # fmt: skip
    assert path.counts.gaps == 4  # every partition knows of it, so that late copies are told from duplicates


def test_a_feed_state_is_one_record() -> None:
    path = DataPath(partitions=3)
    path.arrive(trade(1))
    path.stage.state_changed({"state": "stale", "line": "A"})
    path.parse()
    states = [r for r in rows(path.records) if r["mt"] == "feed"]
    assert [(r["s"], r["event"], r["state"], r["line"], r["n"]) for r in states] == [
        ("feed:KRX", "state", "stale", "A", 1)
    ]


def test_one_partition_numbers_what_is_said_of_the_feed() -> None:
    """Gaps, states, lines, disagreements and late starts are one stream without holes; what a partition says of its own
    symbols has a stream of its own."""
    path = DataPath(partitions=3)
    path.arrive(trade(1), trade(5), trade(6, isin="VN000000VNM1"))
    path.stage.state_changed({"event": "line", "line": "A", "line_state": "silent"})
    path.now_ns += 400 * MS
    path.stage.tick(path.now_ns)
    path.stage.state_changed({"event": "state", "state": "gap"})
    path.arrive(trade(9, market="STX"))
    path.stage.state_changed({"event": "disagreement", "line": "B", "count": 2})
    path.finish()
    said = [r for r in rows([*path.records, *path.starts]) if r["ch"] == "status"]
    feed = sorted((r["n"], r["event"]) for r in said if r["s"] == "feed:KRX")
    assert [n for n, _ in feed] == list(range(1, len(feed) + 1))
    assert {event for _, event in feed} == {"line", "gap", "state", "disagreement", "late_start"}
    for partition in range(3):
        own = [r["n"] for r in said if r["s"] == f"feed:KRX.{partition}"]
        assert sorted(own) == list(range(1, len(own) + 1))
    context = path.pipelines[0].context("live", "KRX")
    assert '"state":"gap"' in context.feed_state
    assert Context.restore(context.state()).feed_state == context.feed_state


def test_a_new_epoch_begins_numbers_and_sequences_anew() -> None:
    path = one_partition()
    path.arrive(trade(50), trade(51))
    path.now_ns += 6_000 * MS
    path.arrive(trade(1), trade(2))
    path.finish()
    trades = [(r["ep"], r["n"], r["q"]) for r in rows(path.records) if r["ch"] == "trade"]
    assert trades == [("20261120-1", 1, 50), ("20261120-1", 2, 51), ("20261120-2", 1, 1), ("20261120-2", 2, 2)]


def test_a_block_of_an_older_epoch_is_dropped_and_counted() -> None:
    path = one_partition()
    old = path.pipelines[0].feed(Block(7, EPOCH + 1, 1, [(T0_NS, 0, 0, trade(1))]), "live", "KRX")
    late = path.pipelines[0].feed(Block(7, EPOCH, 1, [(T0_NS, 0, 0, trade(2))]), "live", "KRX")
    assert (len(old.records), late.records, path.counts.duplicates) == (2, [], 1)


def test_the_record_numbers_go_on_over_epochs() -> None:
    """`first` of PARSED counts for (origin, feed, partition, run), whatever the epoch."""
    pipeline = one_partition().pipelines[0]
    firsts = [
        pipeline.feed(Block(7, epoch, 1, [(T0_NS, 0, 0, trade(n))]), "live", "KRX").first
        for n, epoch in ((1, EPOCH), (2, EPOCH), (1, EPOCH + 100))
    ]
    assert firsts == [1, 3, 5]


def test_an_unknown_isin_stands_for_itself_until_its_ticker_is_learnt() -> None:
    path = one_partition()
    path.arrive(trade(1), definition(1, FIRST), trade(2), book(3))
    path.finish()
    assert [b for b in brief(path.records) if b[0] != "stats"] == [
        ("trade", ISIN, 1, 1), ("definition", "FPT", 1, 1), ("trade", "FPT", 2, 2), ("depth", "FPT", 1, 3),
    ]  # fmt: skip
    assert path.tickers == {ISIN: "FPT"}


def test_a_ticker_may_change() -> None:
    path = one_partition()
    path.arrive(definition(1, FIRST), definition(2, {**FIRST, "ticker": "FPX"}), trade(1))
    path.finish()
    names = [(r["ch"], r["s"], r["n"]) for r in rows(path.records) if r["ch"] != "stats"]
    assert names == [("definition", "FPT", 1), ("definition", "FPX", 2), ("trade", "FPX", 1)]


def test_statistics_are_put_together_from_d_m7_trades_and_m8() -> None:
    path = one_partition()
    board = [(30001, "STO"), (20004, "G1"), (55, ISIN)]
    path.arrive(definition(1, FIRST), trade(1))
    path.arrive(message("M7", 2, *board, (20013, "98000.0"), (1149, "104800.0"), (1148, "91200.0")))
    path.arrive(message("M8", 3, *board, (20026, "98500.0"), (20027, "1")), trade(4, price="98900.0"))
    path.finish()
    figures = [
        {k: v for k, v in r.items() if k in ("c", "vol", "ref", "ceil", "floor", "close", "close_type")}
        for r in rows(path.records)
        if r["ch"] == "stats"
    ]
    opened = {"c": None, "vol": None, "ref": 98500.0, "ceil": 105300.0, "floor": None}
    traded = {**opened, "c": 98500.0, "vol": 412300}
    moved = {**traded, "ref": 98000.0, "ceil": 104800.0, "floor": 91200.0}
    closed = {**moved, "close": 98500.0, "close_type": "1"}
    assert figures == [opened, traded, moved, closed, {**closed, "c": 98900.0}]


def test_statistics_of_boards_are_apart() -> None:
    path = one_partition()
    path.arrive(trade(1, price="1.0"), trade(2, price="2.0", board="G4"), definition(1, FIRST), trade(3, board="G4"))
    path.finish()
    figures = [(r["bd"], r["c"], r["ref"]) for r in rows(path.records) if r["ch"] == "stats"]
    assert figures == [("G1", 1.0, None), ("G4", 2.0, None), ("G1", 1.0, 98500.0), ("G4", 98500.0, None)]


def test_unrouted_types_are_counted_and_hold_their_sequence() -> None:
    path = one_partition()
    path.on_both(message("MD", 1, (30001, "STO"), (55, ISIN)), message("MW", 4, (30001, "STO"), (55, ISIN)), trade(1))
    path.finish()
    assert (path.counts.unrouted, path.dead, len(path.records)) == ({"MD": 1, "MW": 1}, [], 2)


def test_a_replay_is_apart_from_live() -> None:
    """Its own numbers, its own statistics, the member `job`, an end record of every partition; live is untouched."""
    path = DataPath(partitions=2)
    path.arrive(trade(1), trade(2))
    path.parse()
    live = list(path.records)
    path.stage = RawStage(feed_config(partitions=2), "replay:12", publisher="r")
    path.arrive(trade(1))
    path.parse()
    path.stage.finish()
    replayed = path.records[len(live) :]
    assert [(r["job"], r["ch"], r["n"], r["q"]) for r in rows(replayed)] == [
        ("replay:12", "trade", 1, 1),
        ("replay:12", "stats", 1, 1),
    ]
    assert list(rows(replayed)[0])[:5] == ["ch", "s", "n", "ep", "job"]
    ends = [record for raw in path.stage.end() for record in parsed(path, raw.partition, raw.body)]
    assert [(r["s"], r["job"], r["event"], r["partition"]) for r in rows(ends)] == [
        ("replay:12", "replay:12", "end", 0),
        ("replay:12", "replay:12", "end", 1),
    ]
    path.stage = RawStage(feed_config(partitions=2), "live", publisher="p2")
    path.arrive(trade(3))
    assert brief([r for r in path.finish() if '"trade"' in r]) == [("trade", ISIN, 3, 3)]


def test_what_a_replay_learns_names_no_live_stream() -> None:
    """F44: the ticker of another day."""
    path = one_partition()
    path.arrive(definition(1, FIRST), trade(1))
    path.parse()
    path.stage = RawStage(feed_config(partitions=1), "replay:12", publisher="r")
    path.arrive(definition(1, {**FIRST, "ticker": "OLD"}), trade(1))
    replayed = path.parse()
    path.stage = RawStage(feed_config(partitions=1), "live", publisher="p2")
    path.arrive(trade(2), book(3))
    assert {r["s"] for r in rows(replayed)} == {"OLD"}
    assert [r["s"] for r in rows(path.finish()) if r["ch"] != "status"] == ["FPT", "FPT", "FPT"]


def parsed(path: DataPath, partition: int, body: bytes) -> list[str]:
    return path.pipelines[partition].feed(decode_block(body)[0], "replay:12", "KRX").records
