"""In-memory doubles of what a player is handed: a clock, a bus, a ledger, and journals of real messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import simplefix

from feeds.blocks import FLAG_END, Entry, decode_block
from feeds.bus.base import BusDown, Outgoing
from feeds.config import FeedConfig, LineConfig
from feeds.journal import JournalWriter
from replay.checkpoints import Progress

SECOND_NS = 1_000_000_000
START_NS = int(datetime(2026, 11, 20, 2, 15, tzinfo=UTC).timestamp()) * SECOND_NS
ISINS = ("VN000000FPT1", "VN000000VNM8", "VN000000HPG4", "VN000000SSI1")

FEED = FeedConfig(
    id=7,
    name="STO",
    exchange="HOSE",
    markets=("STO",),
    lines=(LineConfig("A", "239.255.1.1", 9001), LineConfig("B", "239.255.1.1", 9002)),
    partitions=2,
)


def message(sequence: int, *, market: str = "STO") -> bytes:
    """A framed market data message of the STO feed, which has just enough for the stage."""
    fix = simplefix.FixMessage()
    pairs = [(8, "FIX.4.4"), (35, "X"), (49, "VNMGW"), (56, "99999"), (34, sequence), (52, "20261120-02:15:00.000")]
    for tag, value in [*pairs, (30001, market), (20004, "G1"), (55, ISINS[sequence % len(ISINS)])]:
        fix.append_pair(tag, value)
    return fix.encode()


def both_lines(sequences: Sequence[int], *, first_ns: int = START_NS, step_ns: int = 10_000_000) -> list[Entry]:
    """Each message on line A at its time and on line B a millisecond later."""
    entries: list[Entry] = []
    for index, sequence in enumerate(sequences):
        rx_ns = first_ns + index * step_ns
        entries += [(rx_ns, 0, 0, message(sequence)), (rx_ns + 1_000_000, 1, 0, message(sequence))]
    return entries


def write_journal(folder: Path, entries: Sequence[Entry], *, block_entries: int = 8) -> Path:
    """A journal of `entries` as capture would have written it."""
    writer = JournalWriter(folder, FEED.id)
    for start in range(0, len(entries), block_entries):
        writer.append(entries[start : start + block_entries])
    writer.close()
    return folder


class ManualClock:
    """Time passes only by sleeping. `on_sleep` sees each wait."""

    def __init__(self, now_ns: int = START_NS + 3600 * SECOND_NS) -> None:
        self.now = now_ns
        self.slept: list[int] = []

    def now_ns(self) -> int:
        return self.now

    async def sleep_ns(self, wait_ns: int) -> None:
        self.slept.append(wait_ns)
        for _turn in range(3):  # what is ready runs before the time passes
            await asyncio.sleep(0)
        self.now += wait_ns


class RecordingBus:
    """Keeps what is published, with the time of its publishing; is down for the first `refusals` publishes."""

    def __init__(self, clock: ManualClock, *, refusals: int = 0) -> None:
        self._clock = clock
        self.refusals = refusals
        self.calls = 0
        self.messages: list[tuple[int, Outgoing]] = []

    async def publish_raw(self, messages: Sequence[Outgoing], *, replay: bool = False) -> None:
        assert replay, "a replay must never use the live queue"
        self.calls += 1
        if self.refusals:
            self.refusals -= 1
            raise BusDown("the broker is away")
        self.messages += [(self._clock.now, one) for one in messages]

    def entries(self) -> list[tuple[int, Entry]]:
        """(publish time, entry) of everything published, in order."""
        return [(at, entry) for at, one in self.messages for entry in decode_block(one.body)[0].entries]

    def sequences(self) -> list[int]:
        """The sequence numbers of the messages, lowest first, repeats included."""
        data = [entry[3] for _at, entry in self.entries() if not entry[2]]
        return sorted(int(one.split(b"\x0134=")[1].split(b"\x01")[0]) for one in data)

    def ends(self) -> list[int]:
        """The partitions on which the end of the replay was published."""
        return [
            one.partition
            for _at, one in self.messages
            for entry in decode_block(one.body)[0].entries
            if entry[2] & FLAG_END
        ]


class MemoryLedger:
    """Keeps every progress; says stop from the `stop_after`-th report on."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.reports: list[Progress] = []

    async def checkpoint(self, progress: Progress) -> bool:
        self.reports.append(progress)
        return self.stop_after is None or len(self.reports) < self.stop_after
