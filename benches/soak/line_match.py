"""Follows the relay's log and the journal side by side: every datagram that went out is there, in order (I1, I3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from feeds.blocks import Block
from feeds.simulator.truth import digest_of
from testbed.relay import OUT, ROW_BYTES, RelayRow, rows_of

SLACK_NS = 400_000_000  # what waited in the socket of a capture that was killed
STALL_ROWS_MAX = 2_000_000
READ_BYTES = 8 << 20


class LineMatch:
    """One line. `outages` are (killed, back at the latest) in ns, added while the run goes on."""

    def __init__(self, name: str, outages: Sequence[tuple[int, int]]) -> None:
        self.name = name
        self.outages = outages
        self.waiting: deque[RelayRow] = deque()
        self.journaled = 0
        self.missing: list[
            int
        ] = []  # times of what is missing outside of outages: the kernel dropped it, or nobody did
        self.in_outages = 0
        self.unknown = 0

    def went_out(self, row: RelayRow) -> None:
        self.waiting.append(row)

    def was_journaled(self, digest: bytes) -> bool:
        """False when the relay's log has to be read on first."""
        for ahead, row in enumerate(self.waiting):
            if row.digest == digest:
                for _ in range(ahead):
                    self._miss(self.waiting.popleft())
                self.waiting.popleft()
                self.journaled += 1
                return True
        return False

    def close(self) -> None:
        while self.waiting:
            self._miss(self.waiting.popleft())

    def _miss(self, row: RelayRow) -> None:
        if any(first - SLACK_NS <= row.at_ns <= last + SLACK_NS for first, last in self.outages):
            self.in_outages += 1
        else:
            self.missing.append(row.at_ns)

    def violations(self, counts: dict[str, int], *, sent: int, kernel_drops: int) -> list[str]:
        """I1 and I3, at the end."""
        found = []
        came = counts["received"] + counts["kernel_drops"]
        if sent != came:
            found.append(f"I1 line {self.name}: {sent} sent, {came} came to the relay")
        if counts["sent"] != self.journaled + self.in_outages + len(self.missing):
            found.append(
                f"I1 line {self.name}: {counts['sent']} went out, {self.journaled} journaled, {self.in_outages} away"
            )
        if self.unknown:
            found.append(f"I3 line {self.name}: {self.unknown} datagrams journaled that were never sent so")
        if len(self.missing) > kernel_drops:
            found.append(
                f"I3 line {self.name}: {len(self.missing)} datagrams not journaled, {kernel_drops} dropped by the "
                f"kernel, the first sent at {self.missing[0]}"
            )
        return found


class Lines:
    """Both lines, fed from the relay's log file and from journal blocks."""

    def __init__(self, log: Path, outages: Sequence[tuple[int, int]]) -> None:
        self.lines = [LineMatch(name, outages) for name in "AB"]
        self._path = log
        self._at = 0
        self._undecided: tuple[deque[bytes], deque[bytes]] = (deque(), deque())

    def take(self, blocks: Iterable[Block]) -> None:
        """Journal blocks, in order. Digests that the log does not show yet wait: it is written in larger pieces."""
        for block in blocks:
            for _rx, line, _flags, data in block.entries:
                self._undecided[line].append(digest_of(data))
        self.settle()

    def settle(self, *, last: bool = False) -> None:
        """Read on in the relay's log and match what can be matched; at the end what is left is unknown."""
        self._read_log()
        for line, digests in zip(self.lines, self._undecided, strict=True):
            while digests:
                if not line.was_journaled(digests[0]):
                    if not last:
                        break
                    line.unknown += 1
                digests.popleft()
            if last:
                line.close()

    @property
    def journaled(self) -> int:
        return sum(line.journaled for line in self.lines)

    def _read_log(self) -> None:
        if max(len(line.waiting) for line in self.lines) > STALL_ROWS_MAX:
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            chunk = file.read(READ_BYTES // ROW_BYTES * ROW_BYTES)
        self._at += len(chunk) // ROW_BYTES * ROW_BYTES
        for row in rows_of(chunk):
            if row.what == OUT:
                self.lines[row.line].went_out(row)
