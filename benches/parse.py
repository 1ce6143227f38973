"""`bin/bench parse`: µs per message for simplefix, the general path and the layout path, on the same messages.

simplefix is timed to its message object only (append_buffer, get_message); both paths of ours are timed to the
rendered, numbered record: decoding, identity, numbering and text included. The general path checks frame and checksum
itself; for the layout path arbitration did, once, which is timed beside it (`frame`; docs/decisions/0010).
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import process_time_ns

import simplefix

from benches.messages import CASES
from feeds.blocks import FLAG_MESSAGE, FLAG_UNFRAMED, Block
from feeds.fix.framing import HEAD, is_whole
from feeds.parser.counts import ParserCounts
from feeds.parser.pipeline import Pipeline
from feeds.parser.translator import Translator

EPOCH = 2026112001
RATIO_MIN = 25.0
MICROSECONDS_MAX = 6.0
RATIO_CASE = "X book 5 levels"
WAYS = ("simplefix", "general", "layout", "frame")
LIMIT_CASE = "X book, 54 fields"


def with_simplefix(messages: Sequence[bytes]) -> None:
    """The library alone."""
    for data in messages:
        parser = simplefix.FixParser(allow_empty_values=True)
        parser.append_buffer(data)
        parser.get_message()


def frames(messages: Sequence[bytes]) -> None:
    """What arbitration does to know a whole message: header, BodyLength, CheckSum."""
    for data in messages:
        head = HEAD.match(data)
        assert head is not None
        assert is_whole(data, head)


def _pipeline(messages: Sequence[bytes], flags: int) -> Callable[[], int]:
    """One run over `messages` as RAW blocks of 50; returns the records it made."""
    blocks = [
        Block(1, EPOCH, at, [(1_000_000 + at, 0, flags, data) for data in messages[at : at + 50]])
        for at in range(0, len(messages), 50)
    ]
    translator = Translator()
    pipeline = Pipeline(0, {}, translator=translator, counts=ParserCounts())
    context = pipeline.context("live", "STO")
    pipeline.feed(blocks[0], "live", "STO")  # learns the layout

    def run() -> int:
        context.seen.clear()  # else the same sequences would be duplicates
        return sum(len(pipeline.feed(block, "live", "STO").records) for block in blocks)

    return run


@dataclass(slots=True)
class Case:
    """One kind of message and its three ways; `best` are µs of CPU per message."""

    name: str
    size: int
    fields: int
    runs: dict[str, tuple[Callable[[], object], int]]
    best: dict[str, float] = field(default_factory=dict)

    def measure(self) -> None:
        """One round of each way; the best round counts, other work on the machine only ever adds."""
        for way, (run, count) in self.runs.items():
            run()  # warm: what is measured is the steady state
            started = process_time_ns()
            run()
            spent = (process_time_ns() - started) / count / 1000
            self.best[way] = min(self.best.get(way, spent), spent)

    def row(self) -> str:
        slow, general, layout, frame = (self.best[way] for way in WAYS)
        figures = (
            f"{slow:9.1f}µs{general:8.1f}µs{layout:7.2f}µs{slow / layout:7.1f}x{general / layout:15.1f}x{frame:6.2f}µs"
        )
        return f"{self.name:28}{self.size:6}{self.fields:7}{figures}"


def make_case(name: str, make: Callable[[int], bytes], count: int) -> Case:
    """`count` messages for the fast way; a fifth of them for the slow ones, so that a round is short for each."""
    messages = [make(n) for n in range(1, count + 1)]
    few = messages[: count // 5]
    runs: dict[str, tuple[Callable[[], object], int]] = {
        "simplefix": (partial(with_simplefix, few), len(few)),
        "general": (_pipeline(few, FLAG_UNFRAMED), len(few)),
        "layout": (_pipeline(messages, FLAG_MESSAGE), len(messages)),
        "frame": (partial(frames, messages), len(messages)),
    }
    return Case(name, len(messages[0]), messages[0].count(b"\x01"), runs)


def main(arguments: Sequence[str]) -> int:
    """Print the table; 1 when a bound of issue 2 does not hold."""
    parser = argparse.ArgumentParser(prog="bin/bench parse", description=__doc__)
    parser.add_argument("--messages", type=int, default=100, help="messages per case and round (default 100)")
    parser.add_argument("--rounds", type=int, default=300, help="rounds over all cases, the best counts (default 300)")
    options = parser.parse_args(arguments)
    cases = [make_case(name, make, options.messages) for name, make in CASES.items()]
    gc.collect()
    gc.disable()
    for _ in range(options.rounds):  # all cases in turn: a busy moment of the machine hits all alike
        for case in cases:
            case.measure()
    gc.enable()
    print(
        f"{'case':28}{'bytes':>6}{'fields':>7}{'simplefix':>11}{'general':>10}{'layout':>9}{'ratio':>8}"
        f"{'general/layout':>16}{'frame':>8}"
    )
    for case in cases:
        print(case.row())
    failed = _failures({case.name: case for case in cases})
    for text in failed:
        print(f"FAILED {text}")
    return 1 if failed else 0


def _failures(cases: dict[str, Case]) -> list[str]:
    failed: list[str] = []
    book = cases[RATIO_CASE].best
    if book["simplefix"] / book["layout"] < RATIO_MIN:
        ratio = book["simplefix"] / book["layout"]
        failed.append(f"{RATIO_CASE}: layout is {ratio:.1f} times simplefix, expected at least {RATIO_MIN:.0f}")
    layout = cases[LIMIT_CASE].best["layout"]
    if layout > MICROSECONDS_MAX:
        failed.append(f"{LIMIT_CASE}: {layout:.2f} µs, expected at most {MICROSECONDS_MAX:.0f}")
    return failed
