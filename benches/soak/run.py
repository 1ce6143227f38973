"""One soak run: follows it while it goes on, stops at the first violation, judges it at the end."""

from __future__ import annotations

import threading
import time

from benches.soak.client import SoakClient
from benches.soak.faults import Faults
from benches.soak.judge import Judge
from benches.soak.ledger import Ledger
from benches.soak.line_match import Lines
from benches.soak.parsed import ParsedReader
from benches.soak.reference import Reference, until
from benches.soak.stand import FEED, Known, Stand
from benches.soak.timeline import timeline
from benches.soak.usage import Watch
from feeds.bus.amqp.topology import Topology

PROGRESS_S = 3.0
READY_S_MAX = 180.0
DRAIN_S_MAX = 120.0
STILL_S = 2.0
STILL_TRIES_MAX = 5
LOST_S = 15.0  # without any movement
END_S_MAX = 180.0  # the relay writes its log, on a disk that everybody writes to


class Run:
    """`violations` grows while it runs."""

    def __init__(self, stand: Stand, known: Known, stop: threading.Event) -> None:
        self.stand, self.stop = stand, stop
        self.violations: list[str] = []
        self.lock = threading.Lock()
        self.ledger = Ledger()
        kills: list[int] = []
        self.lines = Lines(stand.relay_log, kills)
        self.watch = Watch()
        folder = stand.system.data_dir / "journal" / FEED
        self.reference = Reference(folder, known, ledger=self.ledger, lock=self.lock, lines=self.lines)
        topology = Topology(f"mdds{stand.base_port}", known.feed.partitions)
        self.parsed = ParsedReader(stand.broker.url, topology, ledger=self.ledger, lock=self.lock)
        self.client = SoakClient(stand.system.stream_url, stand.system.key)
        options = stand.options
        events = timeline(options.faults, options.seconds, options.seed)
        self.faults = Faults(stand, events, kills=kills, client=self.client)
        self.missing = 0
        self.drained_s = 0.0
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
        self._say("the exchange has ended; healing")
        self.faults.stop()
        self.stand.set_faults({}, {})
        self._drain()
        if self.stop.is_set():
            return self.violations
        judge = Judge(self.stand, self._say)
        found = self._when_still(judge)
        self.stand.relay.terminate()
        self.stand.relay.wait(END_S_MAX)
        self.reference.stop()
        self.parsed.stop()
        self.client.stop()
        self.lines.settle(last=True)
        self._broken()
        self._say("comparing with the truth log")
        found += judge.lines(self.lines) + judge.numbers(self.lines, self.ledger)
        found += self.ledger.close() + self.watch.violations() + self.reference.replay_twice()
        late = self.reference.counts.late
        if judge.late != late:
            found.append(f"I2: {judge.late} announced numbers came after all, {late} late ones by the reference")
        if self.parsed.spans.lost:
            why = " (the checker was slower than the system: the stream may have dropped them)" * self.parsed.waited
            found.append(f"I5: {self.parsed.spans.lost} record numbers are missing in the PARSED stream{why}")
        if sum(self.reference.counts.dead.values()) and self.stand.options.cap is None:
            found.append(f"I5: dead letters {self.reference.counts.dead}, and nothing was damaged")
        self.missing = judge.missing
        return list(dict.fromkeys([*self.violations, *found]))

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
        """Until everything that was journaled is settled and nothing moves. The system's part of it, which ends at the
        client, has a limit (I12); the checker may come after, as long as it gets on."""
        healed = moved = delivered = said = time.monotonic()
        last, client = (-1, -1), self.client.records
        while time.monotonic() - moved < STILL_S or self.ledger.lag:
            now = (self.reference.entries, self.parsed.records + self.client.records)
            if now != last:
                last, moved = now, time.monotonic()
            if client != self.client.records:
                client, delivered = self.client.records, time.monotonic()
            if time.monotonic() - said > PROGRESS_S:
                said = time.monotonic()
                self._progress("draining")
            if self._broken() or self.stop.wait(0.2):
                return
            if time.monotonic() - moved > LOST_S:
                break  # what is left will not come
        self.drained_s = delivered - healed
        if self.drained_s > DRAIN_S_MAX:
            self.violations.append(f"I12: drained {self.drained_s:.0f} s after healing, {DRAIN_S_MAX:.0f} at most")

    def _when_still(self, judge: Judge) -> list[str]:
        """What compares figures of several processes: again when something moved meanwhile (a state is published)."""
        found: list[str] = []
        for _ in range(STILL_TRIES_MAX):
            moved = (self.parsed.records, self.client.records)
            stats = self.stand.system.stats()
            found = judge.publisher(stats) + judge.gateway(stats, self.client, self.ledger.order.last)
            if not found or moved == (self.parsed.records, self.client.records):
                break
            if self.stop.wait(STILL_S):
                return []
        return found

    def _broken(self) -> bool:
        """Anything that says so already."""
        for thread in (self.reference, self.parsed, self.client, self.faults):
            if thread.failure is not None:
                self.violations.append(f"{thread.name}: {type(thread.failure).__name__}: {thread.failure}")
        self.violations += self.ledger.violations + self.client.violations
        self.violations = list(dict.fromkeys(self.violations))
        if not self.faults.busy and not self.faults.now.startswith("broker") and (text := self.stand.ended_by_itself()):
            self.violations.append(text)
        return bool(self.violations)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.0f} s  {text}", flush=True)

    def _progress(self, doing: str = "") -> None:
        exchanged = self.stand.exchanged()
        memory = self.watch.look(self.stand.processes())
        self._say(
            f"sent {exchanged.get('messages', 0):,} ({exchanged.get('rate', 0):,.0f}/s)  "
            f"journaled {self.lines.journaled:,}  settled {self.ledger.settled:,}  lag {self.ledger.lag:,}  "
            f"client {self.client.records:,}  {memory >> 20:,} MiB  {doing or f'fault: {self.faults.now}'}"
        )

    def summary(self) -> None:
        """What was done and seen, whether the run came to its end or not."""
        exchanged = self.stand.exchanged()
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.done.items())) or "none"
        most = ", ".join(f"{name} {mib}" for name, mib in sorted(self.watch.highest().items()))
        away = sum(line.away for line in self.lines.lines)
        away_s = max(line.away_ns_max for line in self.lines.lines) / 1e9
        drops = sum(self.stand.kernel_drops())
        print(
            f"sent {exchanged.get('messages', 0):,} messages ({exchanged.get('rate', 0):,.0f}/s of "
            f"{self.stand.options.rate:,} asked for); journaled {self.lines.journaled:,} datagrams, {away:,} "
            f"came while the capture was away ({away_s:.1f} s at most), {drops:,} dropped by the kernel\n"
            f"{self.ledger.settled:,} records equal to the reference's, {self.ledger.lag:,} not settled; "
            f"{len(self.ledger.found_gaps):,} gaps announced, {self.missing:,} messages missing by the truth log\n"
            f"client: {self.client.records:,} records, {self.client.connections} connections, "
            f"{len(self.client.notices)} notices; faults: {done}; drained {self.drained_s:.1f} s after healing\n"
            f"memory at most (MiB): {most}",
            flush=True,
        )
