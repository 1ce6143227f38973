"""RabbitMQ is killed in the middle of the traffic and comes back: nothing lost, nothing twice, everything in order."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from feeds.simulator.truth import TruthMessage
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.system import System
from tests.end_to_end.follower import Follower
from tests.end_to_end.traffic import Traffic
from tests.end_to_end.truth import difference, expected_keys, gap_ranges, journaled, order_faults, received_keys

pytestmark = [pytest.mark.services, pytest.mark.slow]

RATE, SECONDS = 5_000, 25
DOWN_S = 10.0
PUBLISHING_AGAIN_S_MAX = 10.0
DRAINED_S_MAX = 60.0
FEED = "STO"


def test_nothing_is_lost_and_nothing_comes_twice(
    distributed: System, rabbitmq: PrivateRabbitMQ, truth_path: Path, seed: int
) -> None:
    before = figures(distributed)
    with Follower(distributed) as follower:
        traffic = Traffic(distributed, FEED, truth_path, rate=RATE, seed=seed, seconds=SECONDS)
        follower.wait_for(lambda: follower.count > RATE * 5, timeout_s=30)
        rabbitmq.kill()
        time.sleep(DOWN_S)
        while_down = follower.count
        rabbitmq.start()
        follower.wait_for(lambda: follower.count > while_down, timeout_s=PUBLISHING_AGAIN_S_MAX)
        truth = traffic.wait()
        expected = expected_keys(truth)
        follower.wait_for_count(sum(expected.values()), timeout_s=DRAINED_S_MAX)
        follower.wait_until_quiet(idle_s=1.5, timeout_s=10)
        records = follower.records()
        after = figures(distributed)
    assert len(truth) > RATE * SECONDS // 2, "a busy machine's simulator may fall behind, but not by half"
    assert difference(expected, received_keys(records)) == {}
    assert order_faults(records) == []
    assert gap_ranges(records, FEED) == []
    assert follower.notices == []
    assert len(follower.connections) == 1
    assert_conserved(after - before, truth, traffic.sent())
    assert journaled(distributed.data_dir / "journal" / FEED) == Counter(
        (line, message.data) for message in truth for line in (0, 1)
    ), "I3: the journal holds what was sent, byte for byte"


def assert_conserved(counted: Counter[str], truth: list[TruthMessage], sent: dict[str, int]) -> None:
    """I1, I2, I4, I5, I6 of reliability.md; nothing else than this run's feed spoke meanwhile."""
    received = counted["line A"] + counted["line B"]
    assert sum(sent.values()) == received + counted["kernel_drops"], "I1: sent = received + kernel drops"
    assert counted["kernel_drops"] == 0
    assert counted["received"] == received
    assert received == counted["unique"] + counted["duplicate"] + counted["late"], "I2"
    assert counted["unique"] == len(truth) + counted["heartbeats"], "I2: unique + missing = the sequence span"
    assert counted["missing"] == counted["gaps"] == 0
    assert counted["published"] == counted["confirmed"], "I4: journaled = confirmed + backlog, the backlog is drained"
    assert counted["backlog_bytes"] == 0
    assert counted["parsed"] + counted["dead"] + counted["unrouted"] == len(truth), "I5"
    assert counted["out_of_sight"] == 0, "the gateway lost nothing on its way in"
    assert counted["eligible"] == counted["delivered"], "I6: nothing was conflated or skipped"


def figures(system: System) -> Counter[str]:
    """The workers' totals under the names of the invariants. A gauge that is empty at both ends counts as 0."""
    time.sleep(1.2)  # the heartbeats with the figures come once a second
    stats: dict[str, Any] = {name.split("/")[0]: row for name, row in system.stats().items()}
    capture, publisher, parser, gateway = (stats[kind] for kind in ("capture", "publisher", "parser", "gateway"))
    lines = publisher["feeds"][FEED]["lines"]
    found: Counter[str] = Counter()
    found.update({name: publisher["feeds"][FEED][name] for name in (
        "received", "unique", "duplicate", "late", "missing", "gaps", "published", "confirmed", "backlog_bytes",
    )})  # fmt: skip
    found["heartbeats"] = sum(line["heartbeats"] for line in lines.values())
    for line in "AB":
        found[f"line {line}"] = capture["datagrams_total"][f"{FEED}.{line}"]
    found["kernel_drops"] = capture["kernel_drops"]
    found["parsed"] = sum(parser["parsed"].values())
    found["dead"], found["unrouted"] = parser["dead"], parser["unrouted"]
    found["out_of_sight"] = gateway["lost"] + gateway["unreadable"] + gateway["unnumbered"] + gateway["refused"]
    found["eligible"], found["delivered"] = gateway["eligible"], gateway["delivered"]
    return found
