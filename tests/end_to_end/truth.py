"""What a client must receive of a simulator's run, computed from the truth log."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from feeds.journal import START, JournalReader
from feeds.krx.streams import stream_of
from feeds.simulator.truth import TruthMessage, TruthReader
from feeds.simulator.truth_gaps import MissingRange
from tests.end_to_end.follower import Record

# From the table of channels in ARCHITECTURE.md; X is told by its shape.
CHANNELS_OF = {
    "f": ("status",), "M7": ("stats",), "M8": ("stats",), "ME": ("expected",), "MF": ("foreign",),
    "MX": ("definition",), "d": ("definition", "stats"), "M1": ("index",), "MT": ("foreign",),
    "MA": ("definition",), "W": ("depth", "stats"), "ML": ("definition",),
}  # fmt: skip
OWN = ("gap", "feed", "replay", "tape")  # `mt` of records that are no exchange message


class Key(NamedTuple):
    """The identity of a record: the message it comes from, and its channel."""

    channel: str
    market: str
    msg_type: str
    sequence: int


def read_truth(path: Path) -> list[TruthMessage]:
    """The messages of a run, heartbeats left out."""
    return [message for message in TruthReader(path) if message.msg_type != "MV"]


def channels_of(message: TruthMessage) -> tuple[str, ...]:
    if message.msg_type != "X":
        return CHANNELS_OF[message.msg_type]
    assert message.data is not None
    return ("trade", "stats") if b"\x01387=" in message.data else ("depth",)


def expected_keys(messages: Iterable[TruthMessage]) -> Counter[Key]:
    """One key for each record that the messages become."""
    return Counter(
        Key(channel, message.market, message.msg_type, message.sequence)
        for message in messages
        for channel in channels_of(message)
    )


def received_keys(records: Iterable[Record]) -> Counter[Key]:
    return Counter(Key(r["ch"], r["m"], r["mt"], r["q"]) for r in records if r["mt"] not in OWN)


def difference(expected: Counter[Key], received: Counter[Key]) -> dict[str, object]:
    """Empty when both are the same; else how much is missing or twice, with the first of them."""
    found: dict[str, object] = {}
    for name, keys in (("missing", expected - received), ("beyond", received - expected)):
        if keys:
            found[name] = (sum(keys.values()), sorted(keys)[:5], sorted(keys)[-5:])
    return found


def gap_ranges(records: Iterable[Record], feed: str) -> list[MissingRange]:
    """The gap events of a feed, adjoining ranges of a stream joined, in order."""
    ranges: list[MissingRange] = []
    for record in records:
        if record["mt"] != "gap" or record["s"] != f"feed:{feed}":
            continue
        market, stream = record["stream"].split(".")
        assert record["count"] == record["to"] - record["from"] + 1
        place = next(
            (i for i, r in enumerate(ranges) if (r.market, r.stream, r.last) == (market, stream, record["from"] - 1)),
            None,
        )
        if place is None:
            ranges.append(MissingRange(feed, market, stream, record["from"], record["to"]))
        else:
            ranges[place] = ranges[place]._replace(last=record["to"])
    return sorted(ranges)


def numbers(ranges: Iterable[MissingRange]) -> set[tuple[str, str, int]]:
    """Every (market, stream, sequence) of the ranges."""
    return {(r.market, r.stream, number) for r in ranges for number in range(r.first, r.last + 1)}


def order_faults(records: Sequence[Record]) -> list[str]:
    """Per stream `n` counts on by one; per stream and source sequence `q` rises (I7). Empty when both hold."""
    faults: list[str] = []
    last_n: dict[tuple[str, str, str], int] = {}
    last_q: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
    for record in records:
        stream = (record["ch"], record["s"], record["ep"])
        before = last_n.get(stream)
        if before is not None and record["n"] != before + 1:
            faults.append(f"{stream}: n {record['n']} after {before}")
        last_n[stream] = record["n"]
        if record["q"] is None:
            continue
        source = (record["ch"], record["s"], record["ep"], f"{record['m']}.{stream_of(record['m'], record['mt'])}")
        if record["q"] <= last_q[source]:
            faults.append(f"{source}: q {record['q']} after {last_q[source]}")
        last_q[source] = record["q"]
    return faults


def journaled(folder: Path) -> Counter[tuple[int, bytes]]:
    """(line, datagram) of everything in a feed's journal, heartbeats left out."""
    reader, position = JournalReader(folder), START
    found: Counter[tuple[int, bytes]] = Counter()
    while True:
        blocks, position = reader.read(position)
        if not blocks:
            reader.close()
            return found
        found.update(
            (entry[1], entry[3]) for block in blocks for entry in block.entries if b"\x0135=MV\x01" not in entry[3]
        )
