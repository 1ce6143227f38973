"""Recorded sessions and what they must lead to: one made here, and the one of the recorded exchange."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from feeds.simulator.day import DAY_START_S
from feeds.simulator.exchange import Exchange
from feeds.simulator.message import Message

SOH = b"\x01"
STEP_NS = 10_000_000
# A day before the recorded session, so that both may be played to one feed in this order.
STARTS_AT = datetime(2021, 7, 20, 3, 0, tzinfo=UTC)

Ladder = list[list[str]]
Fields = list[tuple[str, str]]


@dataclass
class Outcome:
    """By ticker, or (ticker, board): what a client must end with."""

    ladders: dict[tuple[str, str], tuple[Ladder, Ladder]] = field(default_factory=dict)
    books: Counter[str] = field(default_factory=Counter)
    trades: Counter[str] = field(default_factory=Counter)
    volumes: dict[str, Decimal] = field(default_factory=dict)

    @property
    def records(self) -> int:
        return sum(self.books.values()) + sum(self.trades.values())


def make_session(path: Path, *, seed: int, messages: int = 1_500) -> Outcome:
    """Write a session of four contracts with ten levels to `path`; the outcome is counted from its bytes."""
    exchange = Exchange({"DVX": ("DVX",)}, symbols=4, seed=seed, depth=10)
    now_ns = int(STARTS_AT.timestamp()) * 1_000_000_000
    made: list[Message] = []
    lines: list[bytes] = []
    while len(made) < messages:
        exchange.set_time(now_ns, DAY_START_S)
        for message in exchange.take(5):
            made.append(message)
            lines.append(b"%d A %s\n" % (now_ns + len(lines), message.data))
        now_ns += STEP_NS
    path.write_bytes(b"".join(lines))
    return outcome_of(message.data for message in made)


def outcome_of(datagrams: Iterable[bytes]) -> Outcome:
    """Reads the messages field by field, without anything of the system under test."""
    outcome, tickers = Outcome(), dict[str, str]()
    for data in datagrams:
        fields = [tuple(pair.decode().split("=", 1)) for pair in data.rstrip(SOH).split(SOH)]
        tags: dict[str, str] = dict(fields)  # type: ignore[arg-type]
        kind = tags["35"]
        if kind == "d":
            tickers[tags["55"]] = tags["30624"]
        elif kind == "W" or (kind == "X" and "30521" in tags):
            ticker = tickers[tags["55"]]
            outcome.books[ticker] += 1
            outcome.ladders[ticker, tags["20004"]] = _ladders(fields)  # type: ignore[arg-type]
        elif kind == "X":
            ticker = tickers[tags["55"]]
            outcome.trades[ticker] += 1
            traded = Decimal(_entries(fields)[0]["271"])  # type: ignore[arg-type]
            outcome.volumes[ticker] = outcome.volumes.get(ticker, Decimal(0)) + traded
    return outcome


def read_outcome(path: Path) -> Outcome:
    """The outcome that comes with a recording."""
    outcome = Outcome()
    for ticker, row in json.loads(path.read_text(), parse_float=Decimal)["symbols"].items():
        outcome.books[ticker] = row["books"]
        outcome.trades[ticker] = row["trades"]
        outcome.volumes[ticker] = Decimal(row["volume"])
        outcome.ladders[ticker, "G1"] = (row["bids"], row["asks"])
    return outcome


def received_outcome(records: Iterable[dict[str, object]]) -> Outcome:
    """The same, from the records of a client."""
    outcome = Outcome()
    for record in records:
        ticker = str(record["s"])
        if record["ch"] == "trade":
            outcome.trades[ticker] += 1
            outcome.volumes[ticker] = outcome.volumes.get(ticker, Decimal(0)) + Decimal(str(record["v"]))
        else:
            outcome.books[ticker] += 1
            sides = [[[str(cell) for cell in level] for level in record[side]] for side in "ba"]  # type: ignore[attr-defined]
            outcome.ladders[ticker, str(record["bd"])] = (sides[0], sides[1])
    return outcome


def _entries(fields: Fields) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = []
    for tag, value in fields:
        if tag == "83":
            entries.append({})
        elif entries:
            entries[-1][tag] = value
    return entries


def _ladders(fields: Fields) -> tuple[Ladder, Ladder]:
    sides: dict[str, Ladder] = {"0": [], "1": []}
    for entry in _entries(fields):
        if entry["271"] != "0":
            sides[entry["269"]].append([entry["270"], entry["271"]])
    return sides["0"], sides["1"]
