"""Workers' metrics come and go with their process's work, and name what they count."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from feeds.bus.memory import MemoryBus
from feeds.capture.publisher import PublisherWorker
from feeds.capture.worker import CaptureWorker
from feeds.metrics import collectors, exported
from feeds.parser.latency import BOUNDS
from feeds.parser.worker import ParserWorker
from subscriptions.cache.store import MemoryImages
from subscriptions.cache.worker import StorageWorker
from tests.metrics.scraping import Scrape

NAMES = re.compile(r"mdds_(capture|publisher|parser|bus|gateway|usage|replay|notices|portal)_[a-z_]*[a-z]")


def workers(folder: Path) -> list[object]:
    bus = MemoryBus(folder, 2)
    parser = ParserWorker(bus, range(2), {}, save=None)
    return [CaptureWorker([], data_dir=folder, prefix="t"), PublisherWorker(bus, []), parser, object()]


def test_they_are_there_as_long_as_the_workers_run(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    for _ in range(2):  # a second system in the same process finds the names free
        with exported(workers(tmp_path), registry=registry):
            assert b"mdds_parser_records_total 0.0" in generate_latest(registry)
        assert generate_latest(registry) == b""


def test_workers_on_one_bus_export_it_once(tmp_path: Path) -> None:
    assert len(collectors(workers(tmp_path))) == 3 + 1
    registry = CollectorRegistry()
    with exported(workers(tmp_path), registry=registry):
        assert generate_latest(registry).count(b"\nmdds_bus_published_total ") == 1


def test_a_scrape_reads_the_present_counts(tmp_path: Path) -> None:
    registry, (*_, parser, _other) = CollectorRegistry(), workers(tmp_path)
    assert isinstance(parser, ParserWorker)
    with exported([parser], registry=registry):
        parser.counts.parsed["X"] += 2
        parser.counts.dead["CHECKSUM"] = 1
        parser.parsers[0].latency.observe(BOUNDS[3], 5)
        parser.parsers[2].latency.observe(BOUNDS[-1] + 1, 2)
        text = generate_latest(registry).decode().splitlines()
    assert 'mdds_parser_parsed_total{type="X"} 2.0' in text
    assert 'mdds_parser_dead_letters_total{reason="CHECKSUM"} 1.0' in text
    name = "mdds_parser_receive_to_publish_seconds"
    le = f"{BOUNDS[3] / 1e9:.6g}"
    assert f'{name}_bucket{{le="{le}"}} 5.0' in text
    assert f'{name}_bucket{{le="+Inf"}} 7.0' in text
    assert f"{name}_count 7.0" in text
    assert f"{name}_sum {(5 * BOUNDS[3] + 2 * (BOUNDS[-1] + 1)) / 1e9}" in text


def test_every_name_and_help_of_a_running_system_is_in_order(quiet: tuple[Scrape, object]) -> None:
    for name, text in quiet[0].families.items():
        assert NAMES.fullmatch(name), name
        assert len(text) > 8, name
        assert text.endswith("."), name


def test_the_document_lists_exactly_what_is_exported(quiet: tuple[Scrape, object]) -> None:
    document = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
    listed = re.findall(r"^\| `(mdds_[a-z_]+)(?:\{[a-z, ]+\})?` \|", document, re.MULTILINE)
    storage = {name for name in listed if name.startswith("mdds_storage_")}  # of a process of its own
    assert sorted(set(listed) - storage) == sorted(quiet[0].families)
    assert len(listed) == len(set(listed))


def test_storage_says_its_own_figures_under_the_documents_names(tmp_path: Path) -> None:
    worker = StorageWorker(MemoryBus(tmp_path, 1), MemoryImages())
    worker.messages, worker.written, worker.writes, worker.write_ms, worker.up = 9, 7, 3, 12.5, False
    worker.book.unreadable = 2
    registry = CollectorRegistry()
    with exported([worker], registry=registry):
        text = generate_latest(registry).decode()
    for line in (
        "mdds_storage_messages_total 9.0", "mdds_storage_images_written_total 7.0", "mdds_storage_writes_total 3.0",
        'mdds_storage_dropped_total{reason="unreadable"} 2.0', "mdds_storage_cache_up 0.0",
        "mdds_storage_write_seconds 0.0125",
    ):  # fmt: skip
        assert f"\n{line}\n" in text, line
    document = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
    listed = set(re.findall(r"^\| `(mdds_storage_[a-z_]+)(?:\{[a-z, ]+\})?` \|", document, re.MULTILINE))
    assert listed == set(re.findall(r"^# TYPE (mdds_storage_[a-z_]+) ", text, re.MULTILINE))
