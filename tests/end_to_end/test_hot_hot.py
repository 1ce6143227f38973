"""Two captures and publishers on one feed: either may be killed, or started anew, and a client misses nothing."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from feeds.bus.amqp import AmqpBus
from feeds.capture.cursor import Cursor, load_cursor
from feeds.journal import JournalReader
from feeds.simulator.truth import TruthMessage
from testbed.ports import free_base_port
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.system import System
from tests.end_to_end.conftest import line_options
from tests.end_to_end.follower import Record
from tests.end_to_end.traffic import Traffic
from tests.end_to_end.truth import Key, difference, expected_keys, gap_ranges, journaled, order_faults, received_keys

pytestmark = [pytest.mark.services, pytest.mark.slow]

FEED, RATE, PARTITIONS = "STO", 600, 4
READY_S_MAX = 60.0
TRAFFIC_S_MAX = 150  # the test ends it; a busy machine takes its time to start the killed ones anew
QUIET_S_MAX = 8
HOSTS = ("north", "south")


class Pairs:
    """The system: one parser, and on each host a capture and a publisher with a data folder of their own."""

    def __init__(self, system: System) -> None:
        self.system = system

    def start(self, host: str, *options: str, index: int = 0) -> None:
        """The host's capture and publisher."""
        self.capture(host, *options, index=index)
        self._start(host, "run_publisher", HOSTS.index(host))

    def capture(self, host: str, *options: str, index: int = 0) -> None:
        self._start(host, "run_capture", HOSTS.index(host) + index, *options)

    def kill(self, host: str) -> None:
        """Capture first: the publisher may still send what is in its journal, or not."""
        for command in ("run_capture", "run_publisher"):
            self.system.kill(f"{command} {host}")

    def folder(self, host: str) -> Path:
        return self.system.data_dir / host

    def journal(self, host: str) -> Path:
        return self.folder(host) / "journal" / FEED

    def cursor(self, host: str) -> Cursor:
        return load_cursor(self.journal(host) / "publisher.cursor")

    def _start(self, host: str, command: str, index: int, *options: str) -> None:
        self.system.environ["MDDS_HOST_NAME"] = host
        where = ("--feed", FEED, "--data-dir", str(self.folder(host)), "--index", str(index))
        self.system.start(f"{command} {host}", command, *where, *options)


@pytest.fixture
def pairs(tmp_path: Path, rabbitmq: PrivateRabbitMQ) -> Iterator[Pairs]:
    system = System(tmp_path / "data", free_base_port(), bus=rabbitmq.url)
    try:
        assert line_options(system) == (), "two captures on one machine need multicast"
        system.prepare()
        system.start("parser", "run_parser")
        yield Pairs(system)
    finally:
        system.close()


class Reader:
    """Every PARSED record of the system, in the order of its partition."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def of_the_feed(self) -> list[Record]:
        """Without the records of states."""
        return [r for r in self.records if r["mt"] != "feed"]

    async def until(self, condition: Callable[[], bool], system: System, timeout_s: float = READY_S_MAX) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():  # noqa: ASYNC110  records come from a queue that the reader empties
                    await asyncio.sleep(0.02)
        except TimeoutError:
            logs = "\n".join(f"--- {name}\n{system.log(name)[-1500:]}" for name in system.processes)
            raise AssertionError(f"{len(self.records)} records, not what was waited for\n{logs}") from None

    async def more(self, system: System, seconds: float = 1.0) -> None:
        """Until the records of about so many seconds have come since now."""
        wanted = len(self.records) + int(RATE * seconds)
        await self.until(lambda: len(self.records) > wanted, system)


@asynccontextmanager
async def reader(system: System) -> AsyncIterator[Reader]:
    bus = AmqpBus(system.environ["MDDS_BUS"], f"mdds{system.base_port}", PARTITIONS)
    await bus.open()
    found = Reader()

    async def read() -> None:
        subscription = bus.consume_parsed("hothot")
        async for delivery in subscription:
            found.records += [json.loads(line) for line in delivery.body.splitlines()]
            subscription.ack(delivery)

    reading = asyncio.create_task(read())
    yield found
    reading.cancel()
    await bus.close()


async def test_either_pair_is_killed_under_load_and_nothing_is_lost(pairs: Pairs, truth_path: Path, seed: int) -> None:
    system = pairs.system
    for host in HOSTS:
        pairs.start(host)
    async with reader(system) as client:
        await warm_up(system, client)
        await one_epoch(pairs)
        traffic = Traffic(system, FEED, truth_path, rate=RATE, seed=seed, seconds=TRAFFIC_S_MAX)
        await client.more(system)
        for host in (*HOSTS, HOSTS[0]):
            pairs.kill(host)
            await client.more(system)
            pairs.start(host)
            await both_publish(pairs, client)
        truth = await asyncio.to_thread(traffic.stop)
        client.records = [r for r in client.records if r["rx"] >= truth[0].at_ns]
        expected = expected_keys(truth)
        await everything(client, expected)
        records = client.of_the_feed()
    assert unheard(pairs, truth) == [], "the test killed one side before the other was back"
    assert difference(expected, received_keys(records)) == {}, told(pairs, records)
    assert order_faults([r for r in records if r["mt"] not in ("gap", "feed")]) == []
    assert gap_ranges(records, FEED) == [], told(pairs, records)


async def test_a_hot_restart_shows_at_no_client(pairs: Pairs, truth_path: Path, seed: int) -> None:
    """F03, with the processes and flags an operator uses."""
    system, host = pairs.system, HOSTS[0]
    pairs.start(host)
    async with reader(system) as client:
        await warm_up(system, client)
        traffic = Traffic(system, FEED, truth_path, rate=RATE, seed=seed)
        await client.more(system)
        for index in (1, 0):
            old = system.processes[f"run_capture {host}"]
            pairs.capture(host, "--take-over", index=index)
            assert await asyncio.to_thread(old.wait, READY_S_MAX) == 0, system.log(f"run_capture {host}")
            await client.more(system)
        truth = await asyncio.to_thread(traffic.stop)
        client.records = [r for r in client.records if r["rx"] >= truth[0].at_ns]
        expected = expected_keys(truth)
        await everything(client, expected)
        records = client.of_the_feed()
    assert difference(expected, received_keys(records)) == {}
    assert gap_ranges(records, FEED) == []
    kept = journaled(pairs.journal(host))
    for line in (0, 1):
        assert {data: count for (on, data), count in kept.items() if on == line and count > 1} == {}
        missing = {m.data for m in truth} - {data for on, data in kept if on == line}
        assert not missing


async def everything(client: Reader, expected: Counter[Key]) -> None:
    """Until all that is expected has come, or nothing more comes: the comparison says what is missing."""
    wanted, quiet = sum(expected.values()), 0.0
    while quiet < QUIET_S_MAX and len(client.of_the_feed()) < wanted:
        before = len(client.records)
        await asyncio.sleep(0.25)
        quiet = quiet + 0.25 if len(client.records) == before else 0.0
    await asyncio.sleep(1.0)  # what must not come would come now


async def warm_up(system: System, client: Reader) -> None:
    """Until a message passes the whole way: every worker is there."""
    while not client.records:
        await asyncio.to_thread(
            system.manage, "run_simulator", "--feed", FEED, "--symbols", "2", "--count", "60", "--quiet"
        )
        await asyncio.sleep(0.2)


async def one_epoch(pairs: Pairs) -> None:
    """Until both publishers count alike. A capture that was not there yet for the first run of the warm-up has missed
    the reset of the next one, and two seconds pass until its publisher follows: so long the other is the only path."""
    deadline = time.monotonic() + READY_S_MAX
    while True:
        await asyncio.to_thread(
            pairs.system.manage, "run_simulator", "--feed", FEED, "--symbols", "2", "--count", "60", "--quiet"
        )
        await asyncio.sleep(3.0)
        epochs = {(pairs.cursor(host).state or {}).get("epoch") for host in HOSTS}
        if len(epochs) == 1 and None not in epochs:
            return
        assert time.monotonic() < deadline, told(pairs, [])


async def both_publish(pairs: Pairs, client: Reader) -> None:
    """Until each host is a whole path of its own again: its publisher has passed what its capture journals from here
    on. That a cursor moves is not enough: a publisher begins with what was left in the journal, whether its capture is
    there already or not."""
    ends = {host: JournalReader(pairs.journal(host)).tail() for host in HOSTS}
    await client.until(lambda: all(pairs.cursor(host).position > end for host, end in ends.items()), pairs.system)
    await client.more(pairs.system, 0.5)


def told(pairs: Pairs, records: Sequence[Record]) -> str:
    """For a failure: how often each epoch's records came and when, and what the publishers said."""
    by_epoch: dict[str, list[Record]] = {}
    for record in records:
        by_epoch.setdefault(record["ep"], []).append(record)
    lines = [f"{epoch}: {len(of)} records, from {of[0]} to {of[-1]}" for epoch, of in by_epoch.items()]
    lines += [f"{host}: {pairs.cursor(host)}"[:1500] for host in HOSTS]
    lines += [f"--- {name}\n{pairs.system.log(name)[-3000:]}" for name in pairs.system.processes]
    return "\n".join(lines)


def unheard(pairs: Pairs, truth: Sequence[TruthMessage]) -> list[tuple[str, str, int]]:
    """Messages that neither capture was there to receive: no product could bring them."""
    kept = {data for host in HOSTS for _line, data in journaled(pairs.journal(host))}
    return [(m.market, m.stream, m.sequence) for m in truth if m.data not in kept]
