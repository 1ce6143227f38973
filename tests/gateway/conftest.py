"""A running gateway for the tests that need sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.running import RunningGateway, running


@pytest.fixture(scope="module")
def lasting_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """For tests that leave nothing behind but closed sessions."""
    with running(tmp_path_factory.mktemp("gateway")) as one:
        yield one


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with running(tmp_path) as one:
        yield one
