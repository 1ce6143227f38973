"""Decides what happens to each datagram on one line: lost, doubled, out of order, damaged.

Pure and count-based: a decision depends on the seed, the line and the number of the datagram, never on the clock, so
that the same seed harms the same datagrams at any rate. Skew in time is the sender's affair.
"""

import random
from dataclasses import dataclass

SENT = 0
LOST = 1
DUPLICATED = 2
REORDERED = 4
CORRUPTED = 8
LOST_ON_BOTH = 16
"""Flags of a datagram's fate on one line."""
NO_LINE = 255

_OVERTAKEN_MAX = 3
"""A reordered datagram is overtaken by one to three others; so at most three are held, and none for ever."""


@dataclass(frozen=True)
class FaultRates:
    """Shares from 0 to 1, of the datagrams of one line."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "reorder", "corrupt"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise ValueError(f"{name}: a share from 0 to 1 expected, found {share}")

    @property
    def any(self) -> bool:
        return bool(self.loss or self.duplicate or self.reorder or self.corrupt)


class LineFaults:
    """The faults of one line of one feed. `counts` has the datagrams by what happened to them."""

    def __init__(self, rates: FaultRates, *, seed: int, feed: str, line: str) -> None:
        self.rates = rates
        self.counts = {"lost": 0, "duplicated": 0, "reordered": 0, "corrupted": 0}
        self._rng = random.Random(f"faults {seed} {feed} {line}")
        self._held: list[tuple[int, bytes]] = []
        """(datagrams still to overtake it, datagram)."""

    def route(self, data: bytes, *, lost_on_both: bool = False) -> tuple[int, list[bytes]]:
        """(fate, the datagrams that go out now, in order). Draws the same numbers whatever their outcome."""
        rng, rates, counts = self._rng, self.rates, self.counts
        loss, double, order, damage = rng.random(), rng.random(), rng.random(), rng.random()
        released = self._overtake()
        if lost_on_both:
            counts["lost"] += 1
            return LOST | LOST_ON_BOTH, released
        if loss < rates.loss:
            counts["lost"] += 1
            return LOST, released
        fate = SENT
        if damage < rates.corrupt:
            fate |= CORRUPTED
            counts["corrupted"] += 1
            data = _damage(data, rng)
        copies = [data]
        if double < rates.duplicate:
            fate |= DUPLICATED
            counts["duplicated"] += 1
            copies.append(data)
        if order < rates.reorder and len(self._held) < _OVERTAKEN_MAX:
            fate |= REORDERED
            counts["reordered"] += 1
            self._held.append((1 + rng.randrange(_OVERTAKEN_MAX), data))
            copies.pop()
        return fate, copies + released

    def flush(self) -> list[bytes]:
        """What is still held, at the end of a run."""
        held, self._held = self._held, []
        return [data for _, data in held]

    def _overtake(self) -> list[bytes]:
        if not self._held:
            return []
        counted = [(left - 1, data) for left, data in self._held]
        self._held = [entry for entry in counted if entry[0] > 0]
        return [data for left, data in counted if left <= 0]


class SharedLoss:
    """The datagrams of one feed that are lost on both lines: by chance, and by number (counted from 1)."""

    def __init__(self, share: float = 0.0, ranges: tuple[tuple[int, int], ...] = (), *, seed: int, feed: str) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"a share from 0 to 1 expected, found {share}")
        for first, last in ranges:
            if not 1 <= first <= last:
                raise ValueError(f"a range FIRST-LAST of datagram numbers from 1 expected, found {first}-{last}")
        self._share = share
        self._ranges = ranges
        self._rng = random.Random(f"shared loss {seed} {feed}")

    @property
    def any(self) -> bool:
        return bool(self._share or self._ranges)

    def takes(self, number: int) -> bool:
        """Asked once for each datagram, in order."""
        by_chance = self._share > 0 and self._rng.random() < self._share
        return by_chance or any(first <= number <= last for first, last in self._ranges)


def _damage(data: bytes, rng: random.Random) -> bytes:
    """One byte changed, as by a bad cable: the CheckSum no longer holds."""
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << rng.randrange(7))]) + data[place + 1 :]
