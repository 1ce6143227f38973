"""`bin/bench parse`: µs per message for simplefix, the general path and the layout path, on the same messages.

simplefix is timed to its message object only (append_buffer, get_message); both paths of ours are timed to the
rendered, numbered record: decoding, frame, checksum, identity, numbering and text included.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Sequence
from functools import partial
from time import process_time_ns

import simplefix

from benches.messages import CASES
from feeds.blocks import FLAG_MESSAGE, FLAG_UNFRAMED, Block
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator

EPOCH = 2026112001
RATIO_MIN = 25.0
MICROSECONDS_MAX = 6.0
RATIO_CASE = "X book 5 levels"
LIMIT_CASE = "X book, 54 fields"


def with_simplefix(messages: Sequence[bytes]) -> None:
    """The library alone."""
    for data in messages:
        parser = simplefix.FixParser(allow_empty_values=True)
        parser.append_buffer(data)
        parser.get_message()


def _pipeline(messages: Sequence[bytes], flags: int) -> Callable[[], int]:
    """One run over `messages` as RAW blocks of 50; returns the records it made."""
    blocks = [
        Block(1, EPOCH, at, [(1_000_000 + at, 0, flags, data) for data in messages[at : at + 50]])
        for at in range(0, len(messages), 50)
    ]
    translator = Translator()
    Pipeline(0, {}, translator=translator, counts=ParserCounts()).feed(blocks[0], "live", "STO")  # learns the layout

    def run() -> int:
        pipeline = Pipeline(0, {}, translator=translator, counts=ParserCounts())
        return sum(len(pipeline.feed(block, "live", "STO").records) for block in blocks)

    return run


def _measure(run: Callable[[], object], count: int, rounds: int) -> float:
    """µs of CPU per message, the best of `rounds` (other work on the machine only ever adds)."""
    best = float("inf")
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            started = process_time_ns()
            run()
            best = min(best, (process_time_ns() - started) / count / 1000)
    finally:
        gc.enable()
    return best


def main(arguments: Sequence[str]) -> int:
    """Print the table; 1 when a bound of issue 2 does not hold."""
    parser = argparse.ArgumentParser(prog="bin/bench parse", description=__doc__)
    parser.add_argument("--messages", type=int, default=200, help="messages per case and round (default 200)")
    parser.add_argument("--rounds", type=int, default=100, help="rounds, the best counts (default 100)")
    options = parser.parse_args(arguments)
    failed: list[str] = []
    print(
        f"{'case':28}{'bytes':>6}{'fields':>7}{'simplefix':>11}{'general':>10}{'layout':>9}{'ratio':>8}{'general/layout':>16}"
    )
    for name, make in CASES.items():
        messages = [make(n) for n in range(1, options.messages + 1)]
        few = messages[: options.messages // 5]
        slow = _measure(partial(with_simplefix, few), len(few), options.rounds)
        general = _measure(_pipeline(messages, FLAG_UNFRAMED), len(messages), options.rounds)
        layout = _measure(_pipeline(messages, FLAG_MESSAGE), len(messages), options.rounds)
        ratio = slow / layout
        fields = messages[0].count(b"\x01")
        size = len(messages[0])
        figures = f"{slow:9.1f}µs{general:8.1f}µs{layout:7.2f}µs{ratio:7.1f}x{general / layout:15.1f}x"
        print(f"{name:28}{size:6}{fields:7}{figures}")
        if name == RATIO_CASE and ratio < RATIO_MIN:
            failed.append(f"{name}: layout is {ratio:.1f} times simplefix, expected at least {RATIO_MIN:.0f}")
        if name == LIMIT_CASE and layout > MICROSECONDS_MAX:
            failed.append(f"{name}: {layout:.2f} µs, expected at most {MICROSECONDS_MAX:.0f}")
    for text in failed:
        print(f"FAILED {text}")
    return 1 if failed else 0
