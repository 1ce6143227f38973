"""Keeps which source sequences there were, a bit each, and tells without the product what is missing (I2, I13)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from benches.soak.ledger import Gap
from benches.soak.order import source_of

CHUNK_BITS = 16
UNCHECKED = frozenset({"M1", "MV"})  # no sequence that anybody checks; heartbeats have none
SHOWN_MAX = 5
RECENT_MAX = 8_192  # digests of which the copies of the other line are not looked at again
_MASK = (1 << CHUNK_BITS) - 1
_HEAD = re.compile(rb"8=FIX\.4\.4\x019=\d+\x0135=([^\x01]+)\x01.*?\x0134=(\d+)\x01[^\x01]*\x0130001=([A-Z]{3})\x01")
Source = tuple[str, str]  # market, counter


class Numbers:
    """Sequences by source, in chunks of 65,536 bits: a million numbers take 125 kB."""

    def __init__(self) -> None:
        self.chunks: dict[Source, dict[int, bytearray]] = {}
        self._recent: dict[bytes, None] = {}
        self._names: dict[tuple[bytes, bytes], Source | None] = {}

    def add(self, source: Source, number: int) -> None:
        chunks = self.chunks.setdefault(source, {})
        chunk = chunks.get(number >> CHUNK_BITS)
        if chunk is None:
            chunk = chunks[number >> CHUNK_BITS] = bytearray(1 << (CHUNK_BITS - 3))
        at = number & _MASK
        chunk[at >> 3] |= 1 << (at & 7)

    def add_message(self, data: bytes, digest: bytes) -> None:
        """A datagram of one message, as in the journal."""
        if digest in self._recent:
            return
        if len(self._recent) >= RECENT_MAX:
            self._recent.clear()
        self._recent[digest] = None
        head = _HEAD.match(data)
        if head is None:
            return
        msg_type, number, market = head.groups()
        try:
            source = self._names[market, msg_type]
        except KeyError:
            source = self._names[market, msg_type] = _source(market.decode(), msg_type.decode())
        if source is not None and number != b"0":
            self.add(source, int(number))

    def add_gaps(self, gaps: Iterable[Gap]) -> None:
        for name, first, last in gaps:
            market, _, stream = name.partition(".")
            for number in range(first, last + 1):
                self.add((market, stream), number)

    def bits(self, source: Source, chunk: int) -> int:
        return int.from_bytes(self.chunks.get(source, {}).get(chunk, b""), "little")

    def ends(self, source: Source) -> tuple[int, int]:
        """The lowest and the highest number."""
        chunks = self.chunks[source]
        low, high = min(chunks), max(chunks)
        lowest = self.bits(source, low)
        first = (lowest & -lowest).bit_length() - 1
        return (low << CHUNK_BITS) + first, (high << CHUNK_BITS) + self.bits(source, high).bit_length() - 1

    def __contains__(self, number: tuple[Source, int]) -> bool:
        source, at = number
        return bool(self.bits(source, at >> CHUNK_BITS) >> (at & _MASK) & 1)


def _source(market: str, msg_type: str) -> Source | None:
    return None if msg_type in UNCHECKED else (market, source_of(market, msg_type))


class Account:
    """What was made, what came, what was announced as missing."""

    def __init__(self, made: Numbers, journaled: Numbers, announced: Numbers) -> None:
        self.made, self.journaled, self.announced = made, journaled, announced
        self.missing = self.late = 0

    def violations(self) -> list[str]:
        """I2 and I13: made = journaled + missing; missing = announced but for what came late after all."""
        found = []
        for source in sorted(self.made.chunks.keys() | self.journaled.chunks.keys() | self.announced.chunks.keys()):
            silent, invented = [], []
            for chunk, inside in self._chunks(source):
                made, came, said = (n.bits(source, chunk) for n in (self.made, self.journaled, self.announced))
                missing = made & ~came & inside
                self.missing += missing.bit_count()
                self.late += (said & came).bit_count()
                silent += _numbers(missing & ~said, chunk)
                invented += _numbers((came | said) & ~made, chunk)
            name = ".".join(source)
            if silent:
                found.append(f"I13 {name}: {len(silent)} numbers lost without an event, first {silent[:SHOWN_MAX]}")
            if invented:
                found.append(f"I2 {name}: {len(invented)} numbers that nobody made, first {invented[:SHOWN_MAX]}")
        return found

    def _chunks(self, source: Source) -> Iterator[tuple[int, int]]:
        """(chunk, its numbers between the first and the last that came): what is beyond them nobody can know."""
        every = [n.chunks.get(source, {}) for n in (self.made, self.journaled, self.announced)]
        known = source in self.journaled.chunks
        first, last = self.journaled.ends(source) if known else (1, 0)
        for chunk in sorted(set().union(*every)):
            base = chunk << CHUNK_BITS
            low, high = max(first - base, 0), min(last - base, _MASK)
            yield chunk, ((1 << (high + 1)) - (1 << low)) if low <= high else 0


def _numbers(bits: int, chunk: int) -> list[int]:
    found = []
    while bits:
        lowest = bits & -bits
        found.append((chunk << CHUNK_BITS) + lowest.bit_length() - 1)
        bits ^= lowest
    return found
