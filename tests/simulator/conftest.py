"""Lines of a test's own on loopback, with sockets that listen to them."""

import os
import socket
from collections.abc import Iterator

import pytest

from feeds.config import FeedConfig, LineConfig
from tests.simulator.listening import Listener
from tests.simulator.trading_days import day_of


@pytest.fixture(scope="session")
def trading_day() -> list:
    """One whole day of the four markets, with the types that have no router."""
    return day_of(unrouted=True)


@pytest.fixture(params=["unicast", "multicast"])
def feed(request: pytest.FixtureRequest) -> FeedConfig:
    """A feed with two lines on free ports; the groups are this process's own."""
    return feed_on(multicast=request.param == "multicast")


@pytest.fixture
def listeners(feed: FeedConfig) -> Iterator[dict[str, Listener]]:
    listening = {line.name: Listener(line) for line in feed.lines}
    yield listening
    for listener in listening.values():
        listener.close()


def feed_on(*, multicast: bool) -> FeedConfig:
    lines = []
    for number, name in enumerate("AB"):
        group = f"239.{250 - number}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}" if multicast else "127.0.0.1"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((group, 0))
            lines.append(LineConfig(name, group, probe.getsockname()[1], None, "127.0.0.1"))
    return FeedConfig(id=1, name="STO", exchange="HOSE", markets=("STO",), lines=tuple(lines))
