"""A publisher with its parsers beside it, killed under load and exchanged for the other setting: a reader has every
record once, under one numbering."""

from __future__ import annotations

import pytest

from testbed.evidence import drained, gather, published_gaps, violations
from testbed.live_path import LivePath
from testbed.rabbitmq import PrivateRabbitMQ
from tests.faults.conftest import Started, assert_invariants, healed, records

pytestmark = [pytest.mark.services]

RATE = 1_500


def started(live: Started, *, colocated: bool, parsers: int) -> LivePath:
    path = live()
    path.colocated = colocated
    path.start_all(parsers=parsers)
    path.start_exchange(rate=RATE)
    path.flow_on(600)
    return path


def change(path: LivePath, *, colocated: bool, killed: bool) -> None:
    """End the publisher and start one of the wanted setting."""
    if killed:
        path.kill("publisher")
    else:
        assert path.stop("publisher") == 0
    path.flow_on(150)
    path.colocated = colocated
    path.start("publisher")
    path.wait_ready("publisher")
    path.wait_until(lambda: path.stats("publisher")["published"] > 500, "the new publisher publishes")


def assert_lossless(path: LivePath) -> None:
    found = healed(path)
    assert_invariants(path, found)
    assert published_gaps(records(found)) == {}
    assert len({run for _, run, _ in found.numbered}) == path.partitions, "one numbering each over all of them"
    changed = [(place, texts) for place, texts in found.numbered.items() if len(texts) > 1]
    assert changed == [], "what came again was the same, byte for byte"


def test_killed_and_killed_again(live: Started) -> None:
    """No parser process at all: what the dead one had released comes from its RAW log, the rest from the journal."""
    path = started(live, colocated=True, parsers=0)
    for _ in range(3):
        change(path, colocated=True, killed=True)
    assert_lossless(path)


def test_the_parser_of_its_own_gives_way_and_takes_over_again(live: Started) -> None:
    """Apart, beside, killed, apart: with a parser process that runs all the time."""
    path = started(live, colocated=False, parsers=1)
    change(path, colocated=True, killed=False)
    alone = path.stats("parser-0")["records"]
    path.flow_on(600)
    assert path.stats("parser-0")["records"] == alone, "it stands by"
    change(path, colocated=False, killed=True)
    path.flow_on(300)
    path.wait_until(lambda: path.stats("parser-0")["records"] > alone, "it parses again")
    change(path, colocated=True, killed=True)
    change(path, colocated=False, killed=False)
    assert_lossless(path)


def test_without_the_log_a_kill_is_seen(live: Started) -> None:
    """A test of the tests: what was released since the last checkpoint is gone, and its numbers are given again."""
    path = live()
    path.colocated = True
    path.relay.start()
    for name in ("capture", "publisher"):
        path.start(name, broken="no_raw_log" if name == "publisher" else "")
    for name in ("capture", "publisher"):
        path.wait_ready(name)
    path.start_exchange(rate=RATE)
    path.flow_on(1_000)
    change(path, colocated=True, killed=True)
    path.flow_on(500)
    path.end_exchange()
    drained(path)
    found = gather(path)
    assert {text.split()[0].rstrip(":") for text in violations(path, found)} >= {"I5"}
    assert any(len(texts) > 1 for texts in found.numbered.values())


def test_the_broker_restarts_beneath_it(live: Started, rabbitmq: PrivateRabbitMQ) -> None:
    path = started(live, colocated=True, parsers=1)
    rabbitmq.ctl("stop_app")
    path.flow_on(300)
    rabbitmq.ctl("start_app")
    path.flow_on(600)
    assert_lossless(path)
