"""What the metrics port of a running system says is what its workers count."""

from __future__ import annotations

import math
from typing import Any

import pytest

from testbed.system import System
from tests.metrics.scraping import Scrape, scrape_url

Quiet = tuple[Scrape, dict[str, dict[str, Any]]]
BUS = ("published", "confirmed", "resent", "refused", "dropped", "delivered", "reconnects")
PARSER = ("records", "duplicates", "repeated", "out_of_order", "late", "late_images", "gaps", "bad_blocks")


def counts(found: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in found.items() if count}


def test_capture(quiet: Quiet) -> None:
    scraped, stats = quiet
    capture = stats["capture/capture"]
    lines = [tuple(name.split(".")) for name in capture["datagrams_total"]]
    assert len(lines) == 8
    for metric, stat in (("datagrams", "datagrams_total"), ("kernel_drops", "kernel_drops_by_line")):
        found = {f"{f}.{a}": scraped.value(f"mdds_capture_{metric}_total", feed=f, line=a) for f, a in lines}
        assert found == capture[stat]
    assert sum(capture["datagrams_total"].values()) > 1_000
    for name in ("journal_bytes", "blocks", "write_failures"):
        assert sum(scraped.by_label(f"mdds_capture_{name}_total", "feed").values()) == capture[name]
    assert all(scraped.value("mdds_capture_receive_buffer_bytes", feed=f, line=a) > 100_000 for f, a in lines)


def test_publisher(quiet: Quiet) -> None:
    scraped, stats = quiet
    feeds = stats["publisher/publisher"]["feeds"]
    for feed, one in feeds.items():
        for name in ("unique", "missing", "gaps", "resets", "published", "confirmed", "bad_bytes"):
            assert scraped.value(f"mdds_publisher_{name}_total", feed=feed) == one[name], (feed, name)
        assert scraped.value("mdds_publisher_backlog_bytes", feed=feed) == one["backlog_bytes"]
        for line, by_name in one["lines"].items():
            for name, count in by_name.items():
                if name != "last_rx_ns":
                    assert scraped.value(f"mdds_publisher_{name}_total", feed=feed, line=line) == count
    lost_on_a = [one["lines"]["B"]["received"] - one["lines"]["A"]["received"] for one in feeds.values()]
    assert sum(lost_on_a) > 5
    assert sum(one["missing"] for one in feeds.values()) == 0


def test_parser(quiet: Quiet) -> None:
    scraped, stats = quiet
    parser = stats["parser/parser"]
    assert scraped.by_label("mdds_parser_parsed_total", "type") == counts(parser["parsed"])
    assert {"d", "X"} <= parser["parsed"].keys()
    assert scraped.by_label("mdds_parser_unrouted_total", "type") == counts(parser["unrouted_by_type"])
    assert scraped.by_label("mdds_parser_dead_letters_total", "reason") == counts(parser["dead_by_reason"])
    for name in (*PARSER, "general_path"):
        assert scraped.value(f"mdds_parser_{name}_total") == parser[name], name
    for name in BUS:
        assert scraped.value(f"mdds_bus_{name}_total") == parser["bus"][name], name


def test_latency_is_a_histogram_of_all_live_records(quiet: Quiet) -> None:
    scraped, stats = quiet
    name = "mdds_parser_receive_to_publish_seconds"
    buckets = {float(dict(labels)["le"]): n for (one, labels), n in scraped.samples.items() if one == f"{name}_bucket"}
    assert list(buckets.values()) == sorted(buckets.values())
    records = stats["parser/parser"]["records"]
    assert (buckets[math.inf], scraped.value(f"{name}_count")) == (records, records)
    mean_s = scraped.value(f"{name}_sum") / records
    assert min(le for le, count in buckets.items() if count) / 1.25 < mean_s
    assert mean_s <= min(le for le, count in buckets.items() if count == records)


def test_gateway(quiet: Quiet) -> None:
    scraped, stats = quiet
    gateway = stats["gateway/gateway"]
    assert scraped.value("mdds_gateway_records_in_total") == gateway["records_in"] == stats["parser/parser"]["records"]
    assert scraped.value("mdds_gateway_streams") == gateway["streams"] > 10
    assert scraped.value("mdds_gateway_history_bytes") == gateway["history_bytes"] > 1_000
    for name in ("repeated", "resumed", "gaps"):
        assert scraped.value(f"mdds_gateway_{name}_total") == gateway[name], name
    for name, count in gateway["raw"].items():
        assert scraped.value(f"mdds_gateway_raw_{name}_total") == count, name


def test_usage(quiet: Quiet) -> None:
    scraped, stats = quiet
    for name, stat in (("writes_total", "writes"), ("write_failures_total", "failures"), ("keys_waiting", "waiting")):
        assert scraped.value(f"mdds_usage_{name}") == stats["usage/usage"][stat], name


@pytest.mark.parametrize(
    "part", ["mdds_parser_records_total", "mdds_gateway_records_in_total", "mdds_bus_published_total"]
)
def test_the_embedded_portal_serves_the_same(quiet: Quiet, system: System, part: str) -> None:
    scraped, _ = quiet
    assert scrape_url(f"http://127.0.0.1:{system.base_port}/metrics").value(part) == scraped.value(part) > 0
