"""Edited rows reach running workers: lines moved, feeds added and disabled, settings changed; history is kept."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from feeds.blocks import Block
from feeds.bus.memory import MemoryBus
from feeds.capture import edits
from feeds.capture.feed_monitor import FeedNote
from feeds.capture.publisher import FeedPublisher, PublisherWorker
from feeds.capture.publisher_edge import PublisherEdge
from feeds.capture.skew import SkewProbe
from feeds.capture.worker import CaptureWorker
from feeds.config import FeedConfig, LineConfig
from feeds.feed_history import FeedHistory
from feeds.models import Exchange, Feed, FeedEvent
from feeds.parser.suspects import suspects_key
from testbed.ports import free_base_port
from tests.feeds.buses import until
from tests.feeds.data_path import MS, T0_NS
from tests.feeds.journals import entries_of
from tests.feeds.wire import trade


def feed_at(port: int, name: str = "STO", feed_id: int = 7) -> FeedConfig:
    lines = (LineConfig("A", "127.0.0.1", port), LineConfig("B", "127.0.0.1", port + 1))
    return FeedConfig(id=feed_id, name=name, exchange="KRX", markets=("STO",), lines=lines, receive_buffer_bytes=65_536)


def send(port: int, data: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, ("127.0.0.1", port))


async def test_a_capture_takes_moved_lines_and_new_feeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "EVERY_S", 0.05)
    port = free_base_port()
    rows = [feed_at(port)]
    worker = CaptureWorker(list(rows), data_dir=tmp_path, prefix=f"edit{port}")
    worker.watch = lambda: list(rows)
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    await until(lambda: worker.loops and worker.loops[0].is_alive())
    send(port, trade(1))
    await until(lambda: worker.loops[0].writer.next_seq == 2)
    rows[:] = [feed_at(port + 4), feed_at(port + 8, "UPX", 8)]
    await until(lambda: [feed.lines[0].port for feed in worker.feeds] == [port + 4, port + 8])
    send(port + 4, trade(2))
    send(port + 8, trade(1))
    await until(lambda: [loop.writer.next_seq for loop in worker.loops] == [3, 2])
    rows[:] = [rows[1]]
    await until(lambda: [feed.name for feed in worker.feeds] == ["UPX"])
    stop.set()
    await running
    assert [data for *_, data in entries_of(tmp_path / "journal" / "STO")] == [trade(1), trade(2)]


async def test_a_line_that_cannot_be_opened_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edits, "EVERY_S", 0.05)
    port = free_base_port()
    worker = CaptureWorker([], data_dir=tmp_path, prefix=f"edit{port}")
    worker.watch = lambda: [feed_at(port)]
    stop = asyncio.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", port))
        running = asyncio.create_task(worker.run(stop))
        await asyncio.sleep(0.2)
        assert worker.loops == []
    await until(lambda: len(worker.loops) == 1)
    stop.set()
    await running


class Rows:
    """A publisher of one feed in a bus of its own, with rows that change and a list for history."""

    def __init__(self, folder: Path) -> None:
        self.bus = MemoryBus(folder, 1)
        self.rows = [replace(feed_at(9001), partitions=1)]
        self.kept: list[FeedNote] = []
        self.refuse = False
        self.folder = folder
        edge = PublisherEdge(self.bus, keep=self.keep, reload=lambda: list(self.rows))
        self.worker = PublisherWorker(self.bus, [self.publisher(self.rows[0])], edge=edge, start=self.publisher)
        self.publisher_of = {one.feed.name: one for one in self.worker.publishers}

    def publisher(self, feed: FeedConfig) -> FeedPublisher:
        return FeedPublisher(feed, self.bus, data_dir=self.folder, prefix=f"rows{self.folder.name}")

    def keep(self, notes: Sequence[FeedNote]) -> int:
        if self.refuse:
            raise ConnectionError("the database is away")
        self.kept += notes
        return len(notes)


async def test_a_publisher_takes_settings_new_feeds_and_disabling(tmp_path: Path) -> None:
    site = Rows(tmp_path)
    stop = asyncio.Event()
    running = asyncio.create_task(site.worker.run(stop))
    publisher = site.worker.publishers[0]
    site.rows[:] = [replace(site.rows[0], gap_wait_ns_max=5 * MS), replace(feed_at(9101, "UPX", 8), partitions=1)]
    await until(lambda: publisher.stage.arbiter.feed.gap_wait_ns_max == 5 * MS)
    await until(lambda: [one.feed.name for one in site.worker.publishers] == ["STO", "UPX"])
    del site.rows[0]
    await until(lambda: publisher.monitor.disabled and publisher.monitor.state == "closed")
    stop.set()
    await running
    assert ("state", "closed") in [(note.kind, note.state) for note in site.kept]


async def test_history_waits_for_the_database(tmp_path: Path) -> None:
    site = Rows(tmp_path)
    monitor = site.worker.publishers[0].monitor
    monitor.reset(2, T0_NS)
    site.refuse = True
    await site.worker.edge.keep_notes(site.worker.publishers)
    monitor.reset(3, T0_NS)
    site.refuse = False
    await site.worker.edge.keep_notes(site.worker.publishers)
    assert [note.epoch for note in site.kept] == [2, 3]


async def test_parsers_heal_a_feed_through_the_bus(tmp_path: Path) -> None:
    site = Rows(tmp_path)
    await site.bus.open()
    publisher = site.worker.publishers[0]
    publisher.monitor.late_start("STO.market", 9, T0_NS)
    stop = asyncio.Event()
    running = asyncio.create_task(site.worker.run(stop))
    await site.bus.retain(suspects_key("STO", 0), b"[%d,3]" % T0_NS)
    await asyncio.sleep(1.2)
    assert publisher.monitor.suspect_since_ns == T0_NS
    await site.bus.retain(suspects_key("STO", 0), b"[%d,0]" % T0_NS)
    await until(lambda: publisher.monitor.suspect_since_ns is None)
    stop.set()
    await running


@pytest.mark.django_db
def test_history_rows_and_retention(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Feed.objects.create(name="STO", exchange=Exchange.objects.create(code="KRX", name="KRX"), markets=["STO"])
    history = FeedHistory()
    gap = FeedNote(feed.pk, T0_NS, "gap", stream="STO.market", first=3, last=5, t0_ns=T0_NS - MS, t1_ns=T0_NS)
    gone = FeedNote(feed.pk + 1, T0_NS, "state", state="live")
    assert history.keep([gap, gone]) == 1
    (row,) = FeedEvent.objects.all()
    assert (row.kind, row.stream, row.count, row.ended_at) == ("gap", "STO.market", 3, row.at)
    monkeypatch.setattr("feeds.feed_history.ROWS_MAX", 2)
    history.keep([FeedNote(feed.pk, T0_NS + n * MS, "state", state="live") for n in range(1, 6)])
    history.prune()
    assert [event.at.microsecond for event in FeedEvent.objects.all()] == [5_000, 4_000]


def test_skew_is_measured_between_the_copies() -> None:
    probe = SkewProbe()
    at = T0_NS
    for n in range(5):
        at += 20 * MS
        probe.look(Block(7, 1, 2 * n + 1, [(at, 0, 0, trade(n + 1))]))
        probe.look(Block(7, 1, 2 * n + 2, [(at + 70_000, 1, 0, trade(n + 1))]))
    assert (sum(probe.counts[0]), sum(probe.counts[1]), probe.sums_us[1]) == (0, 5, 350.0)
    assert (probe.quantile_us(1, 0.5), probe.quantile_us(0, 0.5)) == (100.0, None)


def test_a_copy_that_one_line_lost_is_given_up() -> None:
    probe = SkewProbe()
    probe.look(Block(7, 1, 1, [(T0_NS, 0, 0, trade(1))]))
    probe.look(Block(7, 1, 2, [(T0_NS + 300 * MS, 0, 0, trade(2)), (T0_NS + 300 * MS + 5_000, 1, 0, trade(2))]))
    probe.look(Block(7, 1, 3, [(T0_NS + 400 * MS, 1, 0, trade(3)), (T0_NS + 400 * MS + 9_000, 0, 0, trade(3))]))
    assert [sum(counts) for counts in probe.counts] == [1, 1]
