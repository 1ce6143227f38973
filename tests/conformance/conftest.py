"""One gateway process for all tests of the protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed.ports import free_base_port
from testbed.rabbitmq import PrivateRabbitMQ
from tests.conformance.server import Server
from tests.conformance.watches import Watches

_WATCHES: dict[Server, Watches] = {}


@pytest.fixture(scope="package")
def server(rabbitmq: PrivateRabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("conformance"), free_base_port(), rabbitmq.url)
    try:
        one.start()
        one.publish_first()
        with Watches(one) as _WATCHES[one]:
            yield one
    finally:
        one.system.close()


@pytest.fixture
def watches(server: Server) -> Watches:
    """What takes half a minute: begun with the first test of the package."""
    return _WATCHES[server]


@pytest.fixture
def make_server(rabbitmq: PrivateRabbitMQ, tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """A gateway of the test's own, to be ended."""
    made: list[Server] = []

    def make() -> Server:
        made.append(Server(tmp_path / str(len(made)), free_base_port(), rabbitmq.url))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.system.close()
