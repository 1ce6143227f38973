"""Builds the workers of the data path from rows and settings: the one place the commands and run_all share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar
from zlib import crc32

from django.db import connection

from feeds.bus.base import Bus
from feeds.capture.colocated import ColocatedParser
from feeds.capture.publisher import NS_PER_MS, FeedPublisher, PublisherWorker
from feeds.capture.publisher_edge import PublisherEdge
from feeds.capture.tuning import Tuning
from feeds.capture.worker import CaptureWorker
from feeds.config import FeedConfig
from feeds.feed_history import FeedHistory
from feeds.feed_rows import load_instruments, save_instruments
from feeds.parser.definitions import definitions_of
from feeds.parser.worker import ParserWorker

P = ParamSpec("P")
T = TypeVar("T")
Watch = Callable[[], Sequence[FeedConfig]]  # what the feeds' rows say now (feed_rows.reload_feeds)


def capture_worker(
    feeds: Sequence[FeedConfig],
    *,
    data_dir: Path,
    prefix: str,
    name: str = "capture",
    take_over: bool = False,
    tuning: Tuning = Tuning(),
) -> CaptureWorker:
    """Captures `feeds` into their journals."""
    place = _place(prefix, data_dir)
    return CaptureWorker(feeds, data_dir=data_dir, prefix=place, name=name, take_over=take_over, tuning=tuning)


def publisher_worker(
    feeds: Sequence[FeedConfig],
    bus: Bus,
    *,
    data_dir: Path,
    prefix: str,
    watch: Watch | None = None,
    linger_ms: int = 2,
) -> PublisherWorker:
    """Publishes the journals of `feeds` to RAW, a busy one every `linger_ms`; `watch` says what their rows are later
    on. Keeps the feeds' history.

    Raises CursorRefused for an unreadable cursor."""
    place = _place(prefix, data_dir)

    def start(feed: FeedConfig) -> FeedPublisher:
        return FeedPublisher(feed, bus, data_dir=data_dir, prefix=place, linger_ns=linger_ms * NS_PER_MS)

    edge = PublisherEdge(bus, keep=in_a_thread(FeedHistory().keep), reload=watch and in_a_thread(watch))
    return PublisherWorker(bus, [start(feed) for feed in feeds], edge=edge, start=start)


def in_a_thread(function: Callable[P, T]) -> Callable[P, T]:
    """For database work in a thread of a pool: its connection is closed behind it, the thread may never come again."""

    def closing(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        finally:
            connection.close()

    return closing


def _place(prefix: str, data_dir: Path) -> str:
    """Where a capture wakes its own publisher: two hot-hot pairs on one machine differ in their data folders."""
    return f"{prefix}.{crc32(str(data_dir.resolve()).encode()):08x}"


def parser_worker(bus: Bus, partitions: Sequence[int], *, name: str = "parser") -> ParserWorker:
    """Parses `partitions`, knowing the instruments of the database and saving what `35=d` teaches."""
    return ParserWorker(bus, partitions, _tickers(), save=_save, name=name)


def colocated_parser(
    publisher: PublisherWorker, partitions: int, *, name: str = "parser", replays: bool = False
) -> ColocatedParser:
    """Parses what `publisher` releases in the same process; with `replays`, replays too."""
    parser = ColocatedParser(publisher.bus, range(partitions), _tickers(), save=_save, name=name, replays=replays)
    for one in publisher.publishers:
        parser.join(one)
    publisher.joined = parser.join
    return parser


def _tickers() -> dict[str, str]:
    return {isin: ticker for isin, (ticker, _market) in load_instruments().items()}


def _save(records: Sequence[str]) -> int:
    return save_instruments(definitions_of(records))
