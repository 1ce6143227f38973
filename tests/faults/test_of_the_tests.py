"""A rule is broken on purpose, in the process under test: the matching invariant says so.

Without that, an invariant that is not violated says nothing.
"""

from __future__ import annotations

import pytest

from testbed.evidence import drained, gather, violations
from testbed.live_path import LivePath
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.tcp_proxy import TcpProxy
from tests.faults.conftest import Started

pytestmark = [pytest.mark.services]

RATE = 1_200
WORKERS = ("capture", "publisher", "parser-0")


def started(live: Started, broken: dict[str, str], *, publisher_bus: str = "") -> LivePath:
    """A data path whose workers break the rules that `broken` names."""
    path = live()
    path.relay.start()
    for name in WORKERS:
        path.start(name, broken=broken.get(name, ""), bus=publisher_bus if name == "publisher" else "")
    for name in WORKERS:
        path.wait_ready(name)
    path.start_exchange(rate=RATE)
    path.flow_on(900)
    return path


def again(path: LivePath, name: str) -> None:
    """A successor that keeps all the rules."""
    path.kill(name)
    path.start(name)
    path.wait_ready(name)


def codes(path: LivePath) -> set[str]:
    """Which invariants the run violates."""
    path.flow_on(500)
    path.end_exchange()
    drained(path)
    return {text.split()[0].rstrip(":") for text in violations(path, gather(path))}


def test_no_cursor_does_no_harm_as_long_as_identities_are_looked_at(live: Started) -> None:
    """The publisher starts at the journal's beginning and says all of it again: at least once."""
    path = started(live, {"publisher": "no_cursor"})
    again(path, "publisher")
    assert codes(path) == set()


def test_no_cursor_and_no_dedup(live: Started) -> None:
    path = started(live, {"publisher": "no_cursor", "parser-0": "no_dedup"})
    again(path, "publisher")
    assert {"I5", "I7"} <= codes(path)


def test_acknowledged_before_it_was_published(live: Started) -> None:
    path = started(live, {"parser-0": "acknowledge_first"})
    again(path, "parser-0")
    assert {"I5", "I8"} <= codes(path)


def test_cursor_saved_before_the_confirm(live: Started, rabbitmq: PrivateRabbitMQ) -> None:
    with TcpProxy(rabbitmq.port) as proxy:
        bus = rabbitmq.url.replace(f":{rabbitmq.port}/", f":{proxy.port}/")
        path = started(live, {"publisher": "cursor_before_confirm"}, publisher_bus=bus)
        proxy.blackhole()
        path.flow_on(500)
        path.kill("publisher")
        proxy.reset()
        path.start("publisher", broken="never_goes_back")  # it would find what the cursor forgot
        path.wait_ready("publisher")
        assert {"I2", "I4"} <= codes(path)


def test_a_publisher_that_forgets(live: Started) -> None:
    assert {"I2", "I4"} <= codes(started(live, {"publisher": "drops_some"}))
