"""The publishers of a pair agree on the epoch: the one that missed a reset follows, and never before its time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from feeds.bus.base import Outgoing
from feeds.bus.memory import MemoryBus
from feeds.capture.pairing import Pairing, epoch_key
from feeds.capture.publisher import FeedPublisher, PublisherWorker
from feeds.capture.worker import journal_folder
from feeds.journal import JournalWriter
from tests.feeds.data_path import EPOCH, T0_NS, feed_config
from tests.feeds.wire import edited, trade


@asynccontextmanager
async def publishers(folder: Path, *hosts: str) -> AsyncIterator[tuple[MemoryBus, list[FeedPublisher]]]:
    bus = MemoryBus(folder / "bus", 4)
    await bus.open()
    made = [FeedPublisher(feed_config(), bus, data_dir=folder / host, prefix=host) for host in hosts]
    yield bus, made
    for publisher in made:
        publisher.reader.close()
    await bus.close()


def receive(publisher: FeedPublisher, folder: Path, *sequences: int) -> None:
    """Journal trades and let the publisher's stage read them all."""
    writer = JournalWriter(journal_folder(folder, "KRX"), 7)
    for sequence in sequences:
        writer.append([(T0_NS + sequence, 0, 0, trade(sequence))])
    writer.close()
    read_all(publisher)


def read_all(publisher: FeedPublisher) -> None:
    while True:
        blocks, publisher.read_to = publisher.reader.read(publisher.read_to)
        if not blocks:
            return
        for block in blocks:
            publisher.stage.push(block)


async def test_the_one_behind_follows_after_a_while(tmp_path: Path) -> None:
    async with publishers(tmp_path, "a", "b") as (bus, (first, second)):
        pairing = Pairing(bus, adopt_s=2.0)
        receive(first, tmp_path / "a", 1, 2)
        receive(second, tmp_path / "b", 2, 3)
        first.stage.epoch += 1  # a reset that the second did not see
        await pairing.agree(first, 0.0)
        kept = await bus.retained(epoch_key("KRX"))
        assert kept is not None
        assert kept.split()[0] == b"%d" % (EPOCH + 1)
        for now_s in (0.0, 1.9):
            await pairing.agree(second, now_s)
            assert second.stage.epoch == EPOCH
        await pairing.agree(second, 2.0)
        assert (second.stage.epoch, pairing.adopted) == (EPOCH + 1, 1)
        await pairing.agree(first, 3.0)
        assert first.stage.epoch == EPOCH + 1


async def test_one_that_sees_the_reset_itself_counts_it_once(tmp_path: Path) -> None:
    async with publishers(tmp_path, "a", "b") as (bus, (first, second)):
        pairing = Pairing(bus, adopt_s=2.0)
        receive(first, tmp_path / "a", 1)
        receive(second, tmp_path / "b", 1)
        first.stage.epoch += 1
        await pairing.agree(first, 0.0)
        await pairing.agree(second, 0.0)
        second.stage.epoch += 1  # a moment later
        for now_s in (1.0, 2.5, 5.0):
            await pairing.agree(second, now_s)
            await pairing.agree(first, now_s)
        assert (first.stage.epoch, second.stage.epoch, pairing.adopted) == (EPOCH + 1, EPOCH + 1, 0)


async def test_one_with_a_backlog_reads_it_first(tmp_path: Path) -> None:
    """What it has not read yet may hold the reset."""
    async with publishers(tmp_path, "a", "b") as (bus, (_, second)):
        pairing = Pairing(bus, adopt_s=0.0)
        await bus.retain(epoch_key("KRX"), b"%d" % (EPOCH + 1))
        receive(second, tmp_path / "b", 1)
        writer = JournalWriter(journal_folder(tmp_path / "b", "KRX"), 7)
        writer.append([(T0_NS, 0, 0, trade(2))])
        writer.close()
        await pairing.agree(second, 0.0)
        assert (second.at_tail(), second.stage.epoch) == (False, EPOCH)
        receive(second, tmp_path / "b", 3)
        await pairing.agree(second, 1.0)
        assert (second.at_tail(), second.stage.epoch) == (True, EPOCH + 1)


async def test_one_that_is_started_behind_is_in_the_epoch_from_its_first_message(tmp_path: Path) -> None:
    """Without a wait: the other may be killed at any moment, and what is published under the old epoch is lost."""
    async with publishers(tmp_path, "a", "b") as (bus, (_, second)):
        pairing = Pairing(bus, adopt_s=2.0)
        await bus.retain(epoch_key("KRX"), b"%d %d" % (EPOCH + 1, T0_NS))
        await pairing.look([second])
        assert second.stage.epoch == 0
        writer = JournalWriter(journal_folder(tmp_path / "b", "KRX"), 7)
        for at_s, epoch in ((1, EPOCH), (2, EPOCH + 1), (3, EPOCH + 1)):
            writer.append([(T0_NS + at_s * 1_000_000_000, 0, 0, trade(at_s))])
            read_all(second)
            assert second.stage.epoch == epoch
        writer.close()
        assert pairing.adopted == 0


async def test_the_bus_knows_an_epoch_before_its_first_message_goes_out(tmp_path: Path) -> None:
    """A publisher that is killed between the two would leave its partner behind the parsers for good."""
    async with publishers(tmp_path, "a") as (bus, (first,)):
        kept: list[bytes | None] = []

        class Watched:
            backlog_bytes = 0

            async def put(self, _message: Outgoing, _on_confirmed: Callable[[], None] | None = None) -> None:
                kept.append(await bus.retained(epoch_key("KRX")))

        first._outbox = Watched()
        worker = PublisherWorker(bus, [first])
        worker.pair()
        receive(first, tmp_path / "a", 1, 2)
        await first._flush()
        assert kept == [b"%d %d" % (EPOCH, T0_NS + 1)] * len(kept) != []
        kept.clear()
        receive(first, tmp_path / "a", 3)
        first.stage._on_reset(T0_NS + 3)
        receive(first, tmp_path / "a", 4)
        await first._flush()
        assert kept == [b"%d %d" % (EPOCH + 1, T0_NS + 3)] * len(kept) != []


async def test_an_epoch_began_with_the_message_that_told_the_reset(tmp_path: Path) -> None:
    """Not with what else was read with it: the partner forgets its streams of before that time, and if that was all of
    a short burst it would miss the next reset, too."""
    async with publishers(tmp_path, "a") as (_, (first,)):
        receive(first, tmp_path / "a", 50)
        burst = [edited(trade(n), b"02:15:00.123", b"02:15:07.123") for n in (1, 2, 3)]
        writer = JournalWriter(journal_folder(tmp_path / "a", "KRX"), 7)
        writer.append([(T0_NS + 7_000 + n, 0, 0, data) for n, data in enumerate(burst)])
        writer.close()
        read_all(first)
        assert (first.stage.epoch, first.stage.epoch_began_ns) == (EPOCH + 1, T0_NS + 7_000)


async def test_nothing_is_said_before_something_was_received(tmp_path: Path) -> None:
    async with publishers(tmp_path, "a") as (bus, (first,)):
        await Pairing(bus).agree(first, 0.0)
        assert await bus.retained(epoch_key("KRX")) is None
        worker = PublisherWorker(bus, [first])
        assert (worker.pairing, first.stage.paired) == (None, False)
        worker.pair()
        assert first.stage.paired
