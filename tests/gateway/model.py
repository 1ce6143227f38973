"""What a client that follows the protocol to the letter would hold, checked record by record against the truth."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgpack

from subscriptions.books.book import checksum
from subscriptions.books.ladder import Ladder
from tests.gateway import cast

Key = tuple[str, str]  # (channel, symbol)
SOURCE = {"depth": "depth", "quote": "depth", "book": "depth", "trade": "trade"}


@dataclass
class Truth:
    """The records that an exchange published, by stream."""

    epoch: int = 1
    records: dict[Key, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def epoch_text(self) -> str:
        return f"20261120-{self.epoch}"

    def add(self, channel: str, symbol: str, *, board: str, levels: list[tuple[int, int]]) -> bytes:
        found = self.records.setdefault((channel, symbol), [])
        number = len(found) + 1
        members: dict[str, Any] = {"p": 100, "v": number}
        if channel == "depth":
            bids = [[price, quantity] for price, quantity in sorted(levels, reverse=True)]
            members = {"b": bids, "a": [[200 + price, quantity] for price, quantity in sorted(levels)]}
        line = cast.record(channel, symbol, number, bd=board, ep=self.epoch_text, pad="x" * 200, **members)
        found.append(json.loads(line))
        return line

    def number(self, channel: str, symbol: str) -> int:
        return len(self.records.get((SOURCE[channel], symbol), ()))

    def last(self, channel: str, symbol: str, *, at: int, board: str) -> dict[str, Any] | None:
        found = self.records.get((SOURCE[channel], symbol), [])[:at]
        return next((one for one in reversed(found) if one["bd"] == board), None)

    def next_epoch(self) -> None:
        self.epoch += 1
        self.records.clear()


class Held:
    """How far a client has come in one stream, and its books. `number` None: it takes the next record as it is. Up to
    `images_to` images come, a board each, with holes between their numbers; after a slow time too (`loose`)."""

    def __init__(self, epoch: str, number: int | None, *, images_to: int = 0) -> None:
        self.epoch, self.number, self.images_to = epoch, number, images_to
        self.loose = False
        self.books: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
        self.images: dict[str, dict[str, Any]] = {}
        self.skipped: list[tuple[int, int]] = []


class ModelClient:
    """A sink for a seat: decodes frames and checks each against the truth."""

    def __init__(self, truth: Truth, *, packed: bool) -> None:
        self.truth, self.packed = truth, packed
        self.reads = True
        self.sids: dict[int, dict[str, Any]] = {}  # sid → what was asked
        self.held: dict[Key, Held] = {}
        self.lenient = False  # between SLOW_START and SLOW_END images have holes
        self.closed: int | None = None
        self.answers: list[dict[str, Any]] = []
        self.notices: list[str] = []

    # The sink

    def writable(self) -> bool:
        return self.reads and self.closed is None

    def write(self, frames: list[bytes]) -> None:
        for frame in frames:
            message = msgpack.unpackb(frame) if self.packed else json.loads(frame)
            if isinstance(message, list):
                for record in message:
                    self.take(record)
            else:
                self.hear(message)

    def cut(self, code: int, reason: str) -> None:
        self.closed = code

    # What it makes of them

    def sid_of(self, key: Key) -> int | None:
        channel, symbol = key
        for sid, asked in self.sids.items():
            if asked["channel"] == channel and any(
                one == symbol or (one.endswith("*") and symbol.startswith(one[:-1])) for one in asked["symbols"]
            ):
                return sid
        return None

    def hear(self, message: dict[str, Any]) -> None:
        kind = message["t"]
        if kind == "notice":
            self.notices.append(message["code"])
            if message["code"] == "SLOW_START":
                self.lenient = True
            elif message["code"] == "SKIPPED":
                held = self._held(message["sid"], message["s"])
                held.skipped.append((message["from"], message["to"]))
            elif message["code"] == "SLOW_END":
                self.lenient = False
                for held in self.held.values():
                    held.loose = True  # the images that were lost come again
        elif kind == "resumed":
            held = self._held(message["sid"], message["s"])
            assert held.number is not None
            assert message["from"] == held.number + 1, message
        elif kind == "gap":
            held = self._held(message["sid"], message["s"])
            assert message["from"] == (held.number or 0) + 1, (message, held.number)
            held.number = message["to"]
            held.books.clear()
            held.images_to = message["to"] or 0
        else:
            self.answers.append(message)

    def _held(self, sid: int, symbol: str) -> Held:
        return self.held[self.sids[sid]["channel"], symbol]

    def take(self, record: dict[str, Any]) -> None:
        key = (record["ch"], record["s"])
        sid = self.sid_of(key)
        assert sid is not None, f"a record of a stream that is not followed: {record}"
        asked = self.sids[sid]
        assert not asked["boards"] or record["bd"] in asked["boards"]
        held = self.held.get(key)
        if held is None or held.epoch != record["ep"]:
            held = self.held[key] = Held(record["ep"], None if held is None else 0)
            if key[0] in ("depth", "quote"):
                held.number = None
        self._check_order(held, record, book=key[0] == "book")
        held.number = max(record["n"], (held.number or 0))
        if record["ep"] == self.truth.epoch_text:
            self._check_content(record, asked)
        if key[0] == "book":
            self._apply(held, record, level=asked["depth"])
        elif key[0] != "trade":
            held.images[record["bd"]] = record

    def _check_order(self, held: Held, record: dict[str, Any], *, book: bool) -> None:
        number, before = record["n"], record.get("pn", record["n"] - 1)
        if held.number is None or (book and record["kind"] == "snap"):
            return
        while held.skipped and held.skipped[0][0] <= held.number + 1:
            held.number = max(held.number, held.skipped.pop(0)[1])
        if record["ch"] in ("depth", "quote") and (self.lenient or held.loose or number <= held.images_to):
            return
        assert number > held.number, (record, held.number)
        assert before <= held.number, (record, held.number)

    def _check_content(self, record: dict[str, Any], asked: dict[str, Any]) -> None:
        channel, symbol = record["ch"], record["s"]
        if channel == "book" and record["kind"] == "snap":
            return  # held against the truth once it is applied
        source = self.truth.records[SOURCE[channel], symbol][record["n"] - 1]
        assert (source["n"], source["bd"]) == (record["n"], record["bd"])
        if channel == "trade":
            assert {name: record[name] for name in source if name in record} == {
                **source,
                **{name: record[name] for name in source if name in record},
            }
            assert record["v"] == source["v"]
        elif channel == "depth":
            assert (record["b"], record["a"]) == (source["b"][: asked["depth"]], source["a"][: asked["depth"]])
        elif channel == "quote":
            best = source["b"][0] if source["b"] else [None, None]
            assert [record["bp"], record["bq"]] == best

    def _apply(self, held: Held, record: dict[str, Any], *, level: int) -> None:
        if record["kind"] == "snap":
            held.books[record["bd"]] = (dict(record["b"]), dict(record["a"]))
        bids, offers = held.books.setdefault(record["bd"], ({}, {}))
        for side, changes in ((bids, record["b"]), (offers, record["a"])):
            for price, quantity in changes:
                if quantity:
                    side[price] = quantity
                else:
                    del side[price]  # what is gone was there
        ordered = [sorted(bids.items(), reverse=True), sorted(offers.items())]
        if "crc" in record:
            sides = [[(str(price).encode(), str(quantity).encode()) for price, quantity in side] for side in ordered]
            assert record["crc"] == checksum(Ladder.of_levels(sides[0], sides[1]))
        if record["ep"] == self.truth.epoch_text:
            source = self.truth.last("book", record["s"], at=record["n"], board=record["bd"])
            assert source is not None
            assert [list(map(list, side)) for side in ordered] == [source["b"][:level], source["a"][:level]]
