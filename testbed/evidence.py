"""Gathers what a run left everywhere, and holds it against the invariants."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aio_pika

from feeds.blocks import FLAG_UNFRAMED, Block, Entry, decode_block
from feeds.bus.amqp import AmqpBus
from feeds.bus.amqp.topology import Topology
from feeds.config import FeedConfig
from feeds.dead_letters.choice import letters_of
from feeds.parser.dead_letter import DeadLetter
from feeds.simulator.truth import TruthMessage, TruthReader, digest_of
from subscriptions.gateway.spans import Spans
from testbed.eras import Era, epochs_fall_where_eras_do, eras_of
from testbed.invariants import arbitration, lines, parsing
from testbed.invariants.identity import identity_of, is_heartbeat
from testbed.live_path import LivePath
from testbed.reference_path import journal_blocks, raw_of, records_of, replayed
from testbed.relay import OUT, read_log

STILL_S = 0.8
DRAINED_S_MAX = 60.0
IDLE_S = 0.3


# By (partition, run, record number) of PARSED the texts that were published under it: one, however often.
Numbered = defaultdict[tuple[str | int, str | int, int], set[str]]


class Run(Protocol):
    """Where the evidence is from: of `LivePath` or `InProcessPath`."""

    folder: Path  # with relay.log
    feed: FeedConfig
    outages: list[tuple[int, int]]


@dataclass
class Evidence:
    """One run. `records` are PARSED without overlaps, in the order of the stream."""

    truth: list[TruthMessage]
    blocks: list[Block]
    raw: list[Block]
    records: list[str]
    dead: list[DeadLetter]
    lost_records: int = 0
    sums: list[lines.LineSums] = field(default_factory=list)
    kernel_drops: list[int] = field(default_factory=list)
    backlog_bytes: int = 0
    publisher: dict[str, Any] = field(default_factory=dict)
    numbered: Numbered = field(default_factory=lambda: defaultdict(set))
    eras: dict[bytes, int] = field(default_factory=dict)  # by a message's bytes; without one it is of era 0

    @property
    def journal(self) -> list[Entry]:
        return [entry for block in self.blocks for entry in block.entries]


async def make_tap(path: LivePath) -> None:
    """A durable queue that gets a copy of everything on RAW; before anything is published."""
    async with await aio_pika.connect(path.bus) as connection:
        channel = await connection.channel()
        exchange = await Topology(path.prefix, path.partitions).declare_raw(channel, replay=False)
        queue = await channel.declare_queue(f"{path.prefix}.tap", durable=True)
        path.tapped = True
        for partition in range(path.partitions):
            await queue.bind(exchange, f"live.{partition}")
            await queue.bind(exchange, f"beside.{partition}")


def drained(path: LivePath, *, timeout_s: float = DRAINED_S_MAX) -> float:
    """Wait until everything has been passed on and nothing moves any more; how long it took (s)."""
    began, still_since = time.monotonic(), time.monotonic()
    last: object = None
    while True:
        figures = {name: path.stats(name) for name in path.processes if name != "capture"}
        waiting = asyncio.run(_waiting(path))
        now = {name: (f.get("published"), f.get("records"), f.get("repeated")) for name, f in figures.items()}
        backlog = path.stats("publisher").get("backlog_bytes", 0) + waiting
        if now != last or backlog:
            last, still_since = now, time.monotonic()
        if time.monotonic() - still_since > STILL_S:
            return still_since - began
        if time.monotonic() - began > timeout_s:
            raise AssertionError(
                f"I12: {backlog} bytes and messages wait after {timeout_s} s (seed {path.seed}): {now}"
            )
        time.sleep(0.1)


async def _waiting(path: LivePath) -> int:
    """Messages in the RAW queues that no parser has taken."""
    topology = Topology(path.prefix, path.partitions)
    async with await aio_pika.connect(path.bus) as connection:
        channel = await connection.channel()
        found = 0
        for partition in range(path.partitions):
            name = f"{topology.raw}.{topology.raw_key(partition, replay=False)}"
            queue = await channel.declare_queue(name, passive=True)
            found += queue.declaration_result.message_count or 0
        return found


def gather(path: LivePath) -> Evidence:
    """What the run left; the workers may still run, nothing moves."""
    path.relay.stop()
    numbered: Numbered = defaultdict(set)
    raw, records, lost, dead = asyncio.run(_from_broker(path, numbered))
    blocks = journal_blocks(path.seen_at / "journal" / path.feed.name)
    sent = path.exchange_sent()
    capture, publisher = path.stats("capture"), path.stats("publisher")
    counts = [line.counts() for line in path.relay.lines]
    return Evidence(
        truth=[message for message in TruthReader(path.folder / "truth") if message.msg_type != "MV"],
        blocks=blocks,
        raw=raw if path.tapped else raw_of(blocks, path.feed),
        records=records,
        dead=dead,
        lost_records=lost,
        sums=[
            lines.LineSums(
                name="AB"[n], sent=sent[n], relay_received=c["received"], relay_kernel_drops=c["kernel_drops"],
                relay_lost=c["lost"], relay_doubled=c["duplicated"], relay_sent=c["sent"],
            )
            for n, c in enumerate(counts)
        ],
        kernel_drops=[capture["kernel_drops_by_line"][f"{path.feed.name}.{name}"] for name in "AB"],
        backlog_bytes=publisher["backlog_bytes"],
        publisher=publisher["feeds"][path.feed.name],
        numbered=numbered,
    )  # fmt: skip


async def _from_broker(path: LivePath, numbered: Numbered) -> tuple[list[Block], list[str], int, list[DeadLetter]]:
    raw = [decode_block(body)[0] for body in await _tapped(path) if body] if path.tapped else []
    bus = AmqpBus(path.bus, path.prefix, path.partitions)
    await bus.open()
    spans, records = Spans(), list[str]()
    try:
        async for delivery in bus.refetch_parsed(path.started_ns - 1_000_000_000):
            drop = spans.place(delivery.headers).drop
            texts, headers = delivery.body.decode().split("\n"), delivery.headers
            records += texts[drop:]
            for number, text in enumerate(texts, start=int(headers["first"])):
                numbered[headers["partition"], headers["run"], number].add(text)
        dead = list(letters_of([text async for text in bus.dead_letters()]))
    finally:
        await bus.close()
    return raw, records, spans.lost, dead


async def _tapped(path: LivePath) -> list[bytes]:
    bodies: list[bytes] = []
    async with await aio_pika.connect(path.bus) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(f"{path.prefix}.tap", durable=True)
        wanted = queue.declaration_result.message_count or 0
        arrived = asyncio.Event()

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            bodies.append(message.body)
            if len(bodies) >= wanted:
                arrived.set()

        await queue.consume(take, no_ack=True)
        if wanted:
            await asyncio.wait_for(arrived.wait(), DRAINED_S_MAX)
        await asyncio.sleep(IDLE_S)
    return bodies


def violations(run: Run, found: Evidence) -> list[str]:
    """Every invariant that the data path alone can show: I1 to I5, I7, I8, I13, I14."""
    eras = eras_of(found)
    return [
        *line_violations(run, found),
        *([f"I4: {found.backlog_bytes} bytes unconfirmed after the run"] if found.backlog_bytes else []),
        *(text for era in eras for text in era_violations(era)),
        *unframed_are_dead(found),
        *(epochs_fall_where_eras_do(eras) or state_violations(run, found, eras)),
        *parsing.replays_are_identical(replayed(found.blocks, run.feed), replayed(found.blocks, run.feed)),
        *([f"I5: {found.lost_records} records missing in the PARSED stream"] if found.lost_records else []),
    ]


def era_violations(era: Era) -> list[str]:
    """What holds by identities: I2, I4, I5, I7, I13."""
    passed, late = era.passed, era.late
    missing = arbitration.holes(era.journaled, arbitration.numbers_of(passed.ids))
    return [
        *arbitration.spans_add_up(era.journaled, passed),
        *era.wrong,
        *arbitration.journaled_is_confirmed(era.journaled, passed, backlog_bytes=0),
        *arbitration.losses_have_events(missing, published_gaps(era.records)),
        *parsing.every_id_has_one_outcome(passed.ids, era.records, dead=era.dead, late=late),
        *parsing.streams_keep_their_order(era.records, late),
    ]


def line_violations(run: Run, found: Evidence) -> list[str]:
    """I1 and I3."""
    rows = list(read_log(run.folder / "relay.log"))
    texts: list[str] = []
    for n, sums in enumerate(found.sums):
        forwarded = [(row.at_ns, row.digest) for row in rows if row.line == n and row.what == OUT]
        digests = [digest_of(data) for _, line, _, data in found.journal if line == n]
        matched = lines.match(forwarded, digests)
        away = sum(lines.within(run.outages, at_ns) for _, at_ns in matched.missing)
        drops = found.kernel_drops[n]
        texts += lines.every_datagram_is_accounted(sums, journaled=len(digests), kernel_drops=drops, in_outages=away)
        texts += lines.journal_is_what_arrived(sums.name, matched, outages=run.outages, kernel_drops=drops)
    return texts


def unframed_are_dead(found: Evidence) -> list[str]:
    """I5 for bytes that are no message: each becomes a dead letter, once."""
    raw = {(rx, data) for block in found.raw for rx, _, flags, data in block.entries if flags & FLAG_UNFRAMED}
    dead = {(letter.rx_ns, letter.data) for letter in found.dead if identity_of(letter.data) is None}
    if raw == dead:
        return []
    return [f"I5: {len(raw - dead)} unframed on RAW without a dead letter, {len(dead - raw)} dead letters beyond"]


def published_gaps(records: list[dict[str, Any]]) -> arbitration.Numbers:
    """The numbers of the gap records that clients get."""
    gaps: arbitration.Numbers = {}
    for record in records:
        if record["mt"] == "gap":
            market, stream = record["stream"].split(".")
            gaps.setdefault((market, stream), set()).update(range(record["from"], record["to"] + 1))
    return gaps


def state_violations(run: Run, found: Evidence, eras: list[Era]) -> list[str]:
    """I8: the reference reads the truth log's messages that came in time, in the exchange's order."""
    expected = records_of(((min(era.epochs), era.in_time) for era in eras if era.epochs), run.feed)
    return parsing.state_is_the_references(parsing.state_of(found.records), parsing.state_of(expected))


def datagrams_made(found: Evidence) -> int:
    """Messages the exchange made, heartbeats left out."""
    return sum(not is_heartbeat(message.data or b"") for message in found.truth)
