"""F01 to F04, F29, F31: capture, publisher and parser killed, frozen, restarted in the middle of the traffic."""

from __future__ import annotations

import time

import pytest

from testbed.evidence import published_gaps
from testbed.live_path import LivePath
from tests.faults.conftest import Started, assert_invariants, healed, records

pytestmark = [pytest.mark.services]

RATE = 1_500
BACK_S_MAX = 2.0  # capture restart to the first journaled datagram (budget), start of Python included
TAKEN_OVER_S_MAX = 5.0


def test_f01_capture_killed(live: Started) -> None:
    """What came while it was away is lost, and is announced as exactly that."""
    path = live()
    path.start_all()
    path.start_exchange(rate=RATE)
    path.flow_on(1_000)
    path.kill("capture")
    path.flow_on(300)
    path.start("capture")
    path.wait_ready("capture")
    found = healed(path)
    assert_invariants(path, found)
    gaps = sum(map(len, published_gaps(records(found)).values()))
    assert gaps > 250, "what was sent meanwhile is missing, and said to be"


def test_f02_capture_frozen_for_a_second(live: Started) -> None:
    """The socket's buffer holds what comes: nothing is lost."""
    path = live()
    path.start_all()
    path.start_exchange(rate=RATE)
    path.flow_on(500)
    path.pause("capture")
    time.sleep(1.0)
    path.resume("capture")
    found = healed(path)
    assert_invariants(path, found)
    assert sum(found.kernel_drops) == 0
    assert found.publisher["missing"] == 0


def test_f04_f29_publisher_and_parser_killed(live: Started) -> None:
    """Between publish and cursor; with unacknowledged messages. Nothing is lost, nothing comes twice."""
    path = live()
    path.start_all()
    path.start_exchange(rate=RATE)
    for _ in range(2):
        for name in ("publisher", "parser-0"):
            path.flow_on(350)
            path.kill(name)
            path.flow_on(150)
            path.start(name)
            path.wait_ready(name)
    found = healed(path)
    assert_invariants(path, found)
    assert published_gaps(records(found)) == {}


def test_f31_parser_stalled(live: Started) -> None:
    """RAW waits in its queues, the publisher goes on; afterwards the backlog is gone within the budget."""
    path = live()
    path.start_all()
    path.start_exchange(rate=RATE)
    path.flow_on(500)
    path.pause("parser-0")
    path.flow_on(2_000)
    confirmed = path.stats("publisher")["confirmed"]
    path.flow_on(500)
    assert path.stats("publisher")["confirmed"] > confirmed, "the publisher does not wait for the parser"
    path.resume("parser-0")
    found = healed(path)
    assert_invariants(path, found)


def test_one_of_two_parsers_killed_under_load(live: Started) -> None:
    """Four partitions: the other parser goes on with all of them within 5 s; order and counts are kept."""
    path = live(partitions=4)
    path.start_all(parsers=2)
    path.start_exchange(rate=RATE)
    path.flow_on(1_500)
    active = "parser-0" if parsed(path, "parser-0") > parsed(path, "parser-1") else "parser-1"
    other = "parser-1" if active == "parser-0" else "parser-0"
    path.kill(active)
    killed_at, before = time.monotonic(), path.stats(other)["records"]
    path.wait_until(lambda: path.stats(other)["records"] > before + 100, "the other goes on", timeout_s=30)
    took_s = time.monotonic() - killed_at
    path.flow_on(1_000)
    found = healed(path)
    assert_invariants(path, found)
    assert took_s < TAKEN_OVER_S_MAX, f"{took_s:.1f} s until the other parser went on"


def parsed(path: LivePath, name: str) -> int:
    return sum(path.stats(name)["parsed"].values())
