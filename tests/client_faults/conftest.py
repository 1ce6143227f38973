"""A running gateway for the faults of clients, as the gateway's own tests have it."""

from __future__ import annotations

import os
import random

import pytest

from tests.gateway.conftest import gateway

__all__ = ["gateway"]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Printed with the test's output; FAULT_SEED repeats a run."""
    drawn = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"{request.node.name}: seed {drawn}")
    return drawn
