"""Holds a run that has come to its end against the truth: what can only be told when nothing moves any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benches.soak.client import SoakClient
from benches.soak.ledger import Ledger
from benches.soak.line_match import Lines
from benches.soak.numbers import Account, Numbers
from benches.soak.stand import FEED, Stand
from benches.soak.truth import sums_of
from testbed.invariants.bounds import queues_are_empty

Stats = dict[str, dict[str, Any]]


class Judge:
    """`stats` are the workers' last figures. `missing` and `late` are known after `numbers`."""

    def __init__(self, stand: Stand, say: Callable[[str], None]) -> None:
        self.stand = stand
        self.say = say
        self.missing = self.late = 0

    def lines(self, lines: Lines) -> list[str]:
        """I1 and I3."""
        counts, exchanged = self.stand.relayed(), self.stand.exchanged()
        sent = exchanged["feeds"][FEED]["lines"]
        found = []
        for line, its, drops in zip(lines.lines, counts, self.stand.kernel_drops(), strict=True):
            found += line.violations(its, sent=sent[line.name]["sent"], kernel_drops=drops)
        return found

    def numbers(self, lines: Lines, ledger: Ledger) -> list[str]:
        """I1 by content, I2 and I13 by the truth log's own numbers."""
        made = sums_of(self.stand.truth, lambda count: self.say(f"truth log: {count:,} messages read"))
        found = []
        for line, its in zip("AB", self.stand.relayed(), strict=True):
            if its["received"] == made.count and its["digest_sum"] != made.digest_sum:
                found.append(f"I1 line {line}: other bytes came to the relay than the truth log has")
        announced = Numbers()
        announced.add_gaps(ledger.found_gaps)
        account = Account(made.numbers, lines.numbers, announced)
        found += account.violations()
        self.missing, self.late = account.missing, account.late
        back = [f"{m}.{stream} {q}" for m, stream, q in ledger.order.back if ((m, stream), q) not in announced]
        if back:
            found.append(f"I7: {len(back)} records out of order though no gap was announced there, first {back[:5]}")
        return found

    def publisher(self, stats: Stats) -> list[str]:
        """I4: what was journaled is confirmed, and nothing waits on the way."""
        row = _row(stats, "publisher")
        found = [f"I4: {row['backlog_bytes']:,} bytes unconfirmed at the end"] if row["backlog_bytes"] else []
        return found + queues_are_empty(self.stand.raw_queues())

    def gateway(self, stats: Stats, client: SoakClient, last: dict[str, int]) -> list[str]:
        """I6, of the gateway that runs at the end, and of the client in its last connection."""
        row = _row(stats, "gateway")
        out = sum(row[name] for name in ("delivered", "conflated", "skipped", "discarded"))
        found = client.lacks(last, delivered=row["delivered"])
        if row["eligible"] != out:
            found.append(f"I6: eligible {row['eligible']:,} != delivered, conflated, skipped, discarded {out:,}")
        return found


def _row(stats: Stats, kind: str) -> dict[str, Any]:
    return next(row for name, row in stats.items() if name.startswith(f"{kind}/"))
