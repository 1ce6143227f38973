"""Follows the relay's log and the journal side by side: every datagram that went out is there, in order (I1, I3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from benches.soak.numbers import Numbers
from feeds.blocks import Block
from feeds.simulator.truth import digest_of
from testbed.relay import OUT, ROW_BYTES, tuples_of

SLACK_NS = 400_000_000  # what waited in the socket of a capture that was killed
AWAY_NS_MAX = 20_000_000_000  # a capture is there again at the latest so long after its end, on a loaded machine
STALL_ROWS_MAX = 500_000  # rows of a line held for a datagram that does not show; past it, it was never sent
READ_BYTES = 1 << 20
Row = tuple[int, int, int, bytes]  # what, line, at_ns, digest of a RelayRow


class LineMatch:
    """One line. `kills` are the times (ns) at which a capture was killed, added while the run goes on."""

    def __init__(self, name: str, kills: Sequence[int]) -> None:
        self.name = name
        self.kills = kills
        self.waiting: deque[Row] = deque()
        self.journaled = 0
        self.missing = 0  # outside of a capture's absence: the kernel dropped it, or nobody did
        self.first_missing_ns = 0
        self.away = 0  # came while no capture was there
        self.away_ns_max = 0
        self.unknown = 0

    def was_journaled(self, digest: bytes) -> bool:
        """False when the relay's log has to be read on first."""
        for ahead, row in enumerate(self.waiting):
            if row[3] == digest:
                if ahead:
                    self._miss(ahead)
                self.waiting.popleft()
                self.journaled += 1
                return True
        return False

    def close(self) -> None:
        if self.waiting:
            self._miss(len(self.waiting))

    def _miss(self, count: int) -> None:
        """The first `count` rows are not in the journal: one run of them, excused by a kill inside of it alone."""
        first_ns = last_ns = self.waiting[0][2]
        for _ in range(count):
            last_ns = self.waiting.popleft()[2]
        if any(first_ns - SLACK_NS <= killed <= last_ns + SLACK_NS for killed in self.kills):
            self.away += count
            self.away_ns_max = max(self.away_ns_max, last_ns - first_ns)
        else:
            self.missing += count
            self.first_missing_ns = self.first_missing_ns or first_ns

    def violations(self, counts: dict[str, int], *, sent: int, kernel_drops: int) -> list[str]:
        """I1 and I3, at the end."""
        found = []
        came = counts["received"] + counts["kernel_drops"]
        if sent != came:
            found.append(f"I1 line {self.name}: {sent} sent, {came} came to the relay")
        if counts["sent"] != self.journaled + self.away + self.missing:
            found.append(
                f"I1 line {self.name}: {counts['sent']} went out, {self.journaled} journaled, {self.away} away"
            )
        if self.unknown:
            found.append(f"I3 line {self.name}: {self.unknown} datagrams journaled that were never sent so")
        if self.missing > kernel_drops:
            found.append(
                f"I3 line {self.name}: {self.missing} datagrams not journaled, {kernel_drops} dropped by the "
                f"kernel, the first sent at {self.first_missing_ns}"
            )
        if self.away_ns_max > AWAY_NS_MAX:
            found.append(f"I12 line {self.name}: no capture for {self.away_ns_max / 1e9:.1f} s")
        return found


class Lines:
    """Both lines, fed from the relay's log file and from journal blocks; `numbers` are the sequences journaled."""

    def __init__(self, log: Path, kills: Sequence[int]) -> None:
        self.lines = [LineMatch(name, kills) for name in "AB"]
        self.numbers = Numbers()
        self._path = log
        self._at = 0
        self._undecided: tuple[deque[bytes], deque[bytes]] = (deque(), deque())

    def take(self, blocks: Iterable[Block]) -> None:
        """Journal blocks, in order. Digests that the log does not show yet wait: it is written in larger pieces."""
        note = self.numbers.add_message
        ways = [(line, line.waiting, digests) for line, digests in zip(self.lines, self._undecided, strict=True)]
        for block in blocks:
            for _rx, index, _flags, data in block.entries:
                digest = digest_of(data)
                note(data, digest)
                line, waiting, digests = ways[index]
                if waiting and not digests and waiting[0][3] == digest:  # nearly always
                    waiting.popleft()
                    line.journaled += 1
                else:
                    digests.append(digest)
        self.settle()

    def settle(self, *, last: bool = False) -> None:
        """Match what can be matched, reading on in the relay's log for it; at the end what is left is unknown."""
        self._match()
        while (last or any(self._undecided)) and self._read_log():
            self._match()
        if last:
            for line, digests in zip(self.lines, self._undecided, strict=True):
                line.unknown += len(digests)
                digests.clear()
                line.close()

    @property
    def journaled(self) -> int:
        return sum(line.journaled for line in self.lines)

    def _match(self) -> None:
        for line, digests in zip(self.lines, self._undecided, strict=True):
            while digests:
                if not line.was_journaled(digests[0]):
                    if len(line.waiting) < STALL_ROWS_MAX:
                        break
                    line.unknown += 1
                digests.popleft()

    def _read_log(self) -> bool:
        """The next piece of the log; False when there is none yet."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            chunk = file.read(READ_BYTES // ROW_BYTES * ROW_BYTES)
        whole = len(chunk) // ROW_BYTES * ROW_BYTES
        self._at += whole
        appends = [line.waiting.append for line in self.lines]
        for row in tuples_of(chunk[:whole]):
            if row[0] == OUT:
                appends[row[1]](row)
        return bool(whole)
