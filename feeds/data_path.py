"""Builds the workers of the data path from rows and settings: the one place the commands and run_all share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from feeds.bus.base import Bus
from feeds.capture.publisher import FeedPublisher, PublisherWorker
from feeds.capture.worker import CaptureWorker
from feeds.config import FeedConfig
from feeds.feed_rows import load_instruments, save_instruments
from feeds.parser.definitions import definitions_of
from feeds.parser.worker import ParserWorker


def capture_worker(feeds: Sequence[FeedConfig], *, data_dir: Path, prefix: str, name: str = "capture") -> CaptureWorker:
    """Captures `feeds` into their journals."""
    return CaptureWorker(feeds, data_dir=data_dir, prefix=prefix, name=name)


def publisher_worker(
    feeds: Sequence[FeedConfig], bus: Bus, *, data_dir: Path, prefix: str, name: str = "publisher"
) -> PublisherWorker:
    """Publishes the journals of `feeds` to RAW. Raises CursorRefused for an unreadable cursor."""
    return PublisherWorker(bus, [FeedPublisher(feed, bus, data_dir=data_dir, prefix=prefix) for feed in feeds], name)


def parser_worker(bus: Bus, partitions: Sequence[int], *, name: str = "parser") -> ParserWorker:
    """Parses `partitions`, knowing the instruments of the database and saving what `35=d` teaches."""
    tickers = {isin: ticker for isin, (ticker, _market) in load_instruments().items()}

    def save(records: Sequence[str]) -> int:
        return save_instruments(definitions_of(records))

    return ParserWorker(bus, partitions, tickers, save=save, name=name)
