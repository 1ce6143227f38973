"""One soak run: follows it while it goes on, stops at the first violation, judges it at the end."""

from __future__ import annotations

import threading
import time
from typing import Any

from benches.soak.client import SoakClient
from benches.soak.faults import Faults
from benches.soak.ledger import Ledger
from benches.soak.line_match import Lines
from benches.soak.parsed import ParsedReader
from benches.soak.reference import Reference, until
from benches.soak.stand import FEED, Known, Stand
from benches.soak.timeline import timeline
from benches.soak.truth import sums_of
from benches.soak.usage import Watch
from feeds.bus.amqp.topology import Topology

PROGRESS_S = 3.0
READY_S_MAX = 180.0
DRAIN_S_MAX = 90.0
STILL_S = 2.0
END_S_MAX = 60.0


class Run:
    """`violations` grows while it runs."""

    def __init__(self, stand: Stand, known: Known, stop: threading.Event) -> None:
        self.stand, self.stop = stand, stop
        self.violations: list[str] = []
        self.lock = threading.Lock()
        self.ledger = Ledger()
        self.outages: list[tuple[int, int]] = []
        self.lines = Lines(stand.relay_log, self.outages)
        self.watch = Watch()
        folder = stand.system.data_dir / "journal" / FEED
        self.reference = Reference(folder, known, ledger=self.ledger, lock=self.lock, lines=self.lines)
        topology = Topology(f"mdds{stand.base_port}", known.feed.partitions)
        self.parsed = ParsedReader(stand.broker.url, topology, ledger=self.ledger, lock=self.lock)
        self.client = SoakClient(stand.system.stream_url, stand.system.key)
        options = stand.options
        self.faults = Faults(stand, timeline(options.faults, options.seconds, options.seed), self.outages)
        self.began = time.monotonic()

    def carry_on(self) -> bool:
        """Until the exchange has ended; False when the run was stopped or a violation ended it."""
        for thread in (self.reference, self.parsed, self.client):
            thread.start()
        if not until(self._ready, self.stop, timeout_s=READY_S_MAX):
            if not self.stop.is_set():
                self.violations.append(f"the system was not ready within {READY_S_MAX:.0f} s")
            return False
        self.began = time.monotonic()
        self.stand.start_exchange()
        self.faults.start()
        while self.stand.exchange.poll() is None:
            if self.stop.wait(PROGRESS_S):
                return False
            self._progress()
            if self._broken():
                return False
        return True

    def judge(self) -> list[str]:
        """After the exchange: heal, let everything drain, then hold it against the truth."""
        self.faults.stop()
        self.stand.set_faults({}, {})
        self._drain()
        stats = self.stand.system.stats()
        self.stand.relay.terminate()
        self.stand.relay.wait(END_S_MAX)
        self.reference.stop()
        self.parsed.stop()
        self.client.stop()
        self.lines.settle(last=True)
        self._broken()
        found = [*self.violations, *self.ledger.close(), *self._line_violations(stats), *self.watch.violations()]
        found += self._gateway_violations(stats) + self.reference.replay_twice()
        if self.parsed.spans.lost:
            found.append(f"I5: {self.parsed.spans.lost} record numbers are missing in the PARSED stream")
        if sum(self.reference.counts.dead.values()):
            found.append(f"I5: dead letters {self.reference.counts.dead}, and nothing was damaged")
        self._summary()
        return list(dict.fromkeys(found))

    def close(self) -> None:
        if self.faults.is_alive():
            self.faults.stop()
            self.faults.close()
        for thread in (self.reference, self.parsed, self.client):
            if thread.is_alive():
                thread.stop()

    def _ready(self) -> bool:
        """The client is subscribed, the capture has made its folder and every worker runs."""
        return self.client.subscribed.is_set() and len(self.stand.system.stats()) >= 5

    def _drain(self) -> None:
        deadline, still_since, last = time.monotonic() + DRAIN_S_MAX, time.monotonic(), (0, 0)
        while time.monotonic() - still_since < STILL_S or self.ledger.lag:
            now = (self.reference.entries, self.parsed.records)
            if now != last:
                last, still_since = now, time.monotonic()
            if time.monotonic() > deadline:
                self.violations.append(f"I12: {self.ledger.lag:,} records of lag {DRAIN_S_MAX:.0f} s after healing")
                return
            if self.stop.wait(0.2):
                return
            if time.monotonic() - still_since > 15:
                return  # nothing moves: what is left will not come

    def _broken(self) -> bool:
        """Anything that says so already."""
        for thread in (self.reference, self.parsed, self.client, self.faults):
            if thread.failure is not None:
                self.violations.append(f"{thread.name}: {type(thread.failure).__name__}: {thread.failure}")
        self.violations += self.ledger.violations + self.client.violations
        if not self.faults.busy and not self.faults.now.startswith("broker") and (text := self.stand.ended_by_itself()):
            self.violations.append(text)
        return bool(self.violations)

    def _line_violations(self, stats: dict[str, dict[str, Any]]) -> list[str]:
        counts, exchanged = self.stand.relayed(), self.stand.exchanged()
        sent = exchanged["feeds"][FEED]["lines"]
        capture = next(row for name, row in stats.items() if name.startswith("capture/"))
        found = []
        for line, its in zip(self.lines.lines, counts, strict=True):
            drops = capture["kernel_drops_by_line"][f"{FEED}.{line.name}"]
            found += line.violations(its, sent=sent[line.name]["sent"], kernel_drops=drops)
        made, total = sums_of(self.stand.truth)
        for line, its in zip("AB", counts, strict=True):
            if its["received"] == made and its["digest_sum"] != total:
                found.append(f"I1 line {line}: other bytes came to the relay than the truth log has")
        return found

    def _gateway_violations(self, stats: dict[str, dict[str, Any]]) -> list[str]:
        """I6, of the gateway that runs at the end."""
        row = next(row for name, row in stats.items() if name.startswith("gateway/"))
        out = sum(row[name] for name in ("delivered", "conflated", "skipped", "discarded"))
        if row["eligible"] != out:
            return [f"I6: eligible {row['eligible']:,} != delivered, conflated, skipped, discarded {out:,}"]
        return []

    def _progress(self) -> None:
        exchanged = self.stand.exchanged()
        memory = self.watch.look(self.stand.processes())
        elapsed_s = time.monotonic() - self.began
        print(
            f"{elapsed_s:6.0f} s  sent {exchanged.get('messages', 0):,} ({exchanged.get('rate', 0):,.0f}/s)  "
            f"journaled {self.lines.journaled:,}  settled {self.ledger.settled:,}  lag {self.ledger.lag:,}  "
            f"client {self.client.records:,}  {memory >> 20:,} MiB  fault: {self.faults.now}",
            flush=True,
        )

    def _summary(self) -> None:
        exchanged = self.stand.exchanged()
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.done.items())) or "none"
        most = ", ".join(f"{name} {mib}" for name, mib in sorted(self.watch.highest().items()))
        away = sum(line.in_outages for line in self.lines.lines)
        print(
            f"sent {exchanged.get('messages', 0):,} messages; journaled {self.lines.journaled:,} datagrams, {away:,} "
            f"came while the capture was away; {self.ledger.settled:,} records equal to the reference's; "
            f"{len(self.ledger.found_gaps)} gaps announced\n"
            f"client: {self.client.records:,} records, {self.client.connections} connections, "
            f"{len(self.client.notices)} notices; faults: {done}\nmemory at most (MiB): {most}",
            flush=True,
        )
