"""A publisher restarted from its cursor: the released set is the same, nothing lost, nothing twice after the parser."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feeds.blocks import Block, decode_block
from feeds.capture.raw_stage import RawStage
from tests.feeds.data_path import EPOCH, MS, T0_NS, DataPath, feed_config
from tests.feeds.fault_scripts import Script, scripts
from tests.feeds.wire import message, trade


def blocks_of(script: Script) -> list[Block]:
    entries = [(T0_NS + ms * MS, "AB".index(line), 0, data) for ms, line, data in script.arrivals]
    return [Block(7, EPOCH, number, [entry]) for number, entry in enumerate(entries, start=1)]


def run(blocks: list[Block], stage: RawStage, path: DataPath) -> None:
    """Push `blocks`, drain after each, parse."""
    path.stage = stage
    for block in blocks:
        stage.push(block)
        path.parse()


def saved(stage: RawStage, blocks: list[Block], at: int) -> tuple[dict[str, object], int]:
    """What the publisher saves behind block `at`: the state (through JSON), and the block to read on from."""
    oldest = stage.arbiter.oldest_waiting()
    safe = at if oldest is None else next(i for i, b in enumerate(blocks) if b.first_seq == oldest)
    state: dict[str, object] = json.loads(json.dumps(stage.state()))
    return state, safe


@settings(max_examples=60, deadline=None)
@given(scripts(messages_max=15), st.floats(0, 1))
def test_restart_at_any_place(script: Script, share: float) -> None:
    blocks = blocks_of(script)
    at = int(share * len(blocks))
    whole, restarted = DataPath(), DataPath()
    run(blocks, RawStage(feed_config(), publisher="p1"), whole)
    whole.finish()

    first = RawStage(feed_config(), publisher="p1")
    run(blocks[:at], first, restarted)
    state, safe = saved(first, blocks, at)
    second = RawStage(feed_config(), publisher="p2")
    second.restore(state)
    run(blocks[safe:], second, restarted)
    restarted.finish()
    assert identities(restarted) == identities(whole)
    assert sorted(restarted.records) == sorted(whole.records)


def identities(path: DataPath) -> list[tuple[object, ...]]:
    rows = [json.loads(record) for record in path.records]
    return sorted((r["m"], r["mt"], r["ch"], str(r["q"]), r.get("from", 0), r.get("to", 0)) for r in rows)


def test_unsequenced_messages_are_not_repeated_by_a_restart() -> None:
    """M1 and 34=0 have no sequence to know them by; the cursor lies between the copies of A and of B."""
    index = message("M1", 9, (30001, "STO"), (30167, "001"), (30217, "1274.63"))
    path = DataPath()
    first = RawStage(feed_config(), publisher="p1")
    entries = [
        (T0_NS, 0, 0, index),
        (T0_NS + MS, 0, 0, trade(0)),
        (T0_NS + MS, 1, 0, index),
        (T0_NS + MS, 1, 0, trade(0)),
    ]
    blocks = [Block(7, EPOCH, number, [entry]) for number, entry in enumerate(entries, start=1)]
    run(blocks[:2], first, path)
    state, safe = saved(first, blocks, 2)
    second = RawStage(feed_config(), publisher="p2")
    second.restore(state)
    run(blocks[safe:], second, path)
    assert [json.loads(record)["ch"] for record in path.records] == ["index", "trade", "stats"]


def test_the_epoch_of_a_reset_survives_a_restart() -> None:
    stage = RawStage(feed_config(partitions=1), publisher="p1")
    stage.push(Block(7, EPOCH, 1, [(T0_NS, 0, 0, trade(50)), (T0_NS + 6_000 * MS, 0, 0, trade(1))]))
    restored = RawStage(feed_config(partitions=1), publisher="p2")
    restored.restore(json.loads(json.dumps(stage.state())))
    restored.push(Block(7, EPOCH, 3, [(T0_NS + 6_001 * MS, 0, 0, trade(2))]))
    (raw,) = restored.drain()
    assert (stage.epoch, raw.headers["epoch"], decode_block(raw.body)[0].epoch) == (EPOCH + 1, EPOCH + 1, EPOCH + 1)


@pytest.mark.parametrize("at", range(1, 6))
def test_a_restart_in_the_burst_of_a_reset_counts_it_once(at: int) -> None:
    """STX is new to this publisher and has begun anew before STO tells the reset; UPX follows."""
    arrivals = [
        (0, "STO", 70),
        (0, "UPX", 30),
        (2_000, "STX", 1),
        (2_001, "STO", 1),
        (2_002, "STX", 2),
        (2_003, "UPX", 1),
    ]
    blocks = [
        Block(7, EPOCH, number, [(T0_NS + ms * MS, 0, 0, tick(market, sequence, second=ms // 1_000))])
        for number, (ms, market, sequence) in enumerate(arrivals, start=1)
    ]
    first, second = RawStage(feed_config(), publisher="p1"), RawStage(feed_config(), publisher="p2")
    for block in blocks[:at]:
        first.push(block)
    state, safe = saved(first, blocks, at)
    second.restore(state)
    for block in blocks[safe:]:
        second.push(block)
    assert second.epoch == EPOCH + 1


def tick(market: str, sequence: int, *, second: int) -> bytes:
    return message("ME", sequence, (30001, market), (55, "VN000000FPT1"), sent=f"20261120 02:15:0{second}.000")


def test_a_hundred_resets_do_not_reach_into_the_next_day() -> None:
    """Epochs of a date are its number × 100 and a count: the next day's is new, whatever the day before did."""
    stage = RawStage(feed_config(partitions=1), publisher="p1")
    for n in range(150):
        at = T0_NS + 6_000 * MS * n
        stage.push(Block(7, EPOCH, 2 * n + 1, [(at, 0, 0, trade(50 + n)), (at + MS, 0, 0, trade(51 + n))]))
        stage.push(Block(7, EPOCH, 2 * n + 2, [(at + 5_900 * MS, 0, 0, trade(1, price=f"{n + 1}.0"))]))
    before = stage.epoch
    stage.push(Block(7, EPOCH + 100, 1_000, [(T0_NS + 86_400_000 * MS, 0, 0, trade(1, price="777.0"))]))
    assert (stage.arbiter.resets >= 100, stage.epoch > before) == (True, True)
    assert [raw.headers["epoch"] for raw in stage.drain()][-1] == stage.epoch
