"""One live data path a test, on a vhost-free prefix of one RabbitMQ; the seed is drawn and printed."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.evidence import Evidence, drained, gather, make_tap, violations
from testbed.live_path import LivePath
from testbed.rabbitmq import PrivateRabbitMQ

Started = Callable[..., LivePath]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """`FAULT_SEED` repeats a run."""
    drawn = int(os.environ.get("FAULT_SEED") or secrets.randbelow(1_000_000))
    print(f"{request.node.name}: seed {drawn}")
    return drawn


@pytest.fixture
def live(tmp_path: Path, rabbitmq: PrivateRabbitMQ, seed: int) -> Iterator[Started]:
    """Makes a data path with a tap, not yet started."""
    made: list[LivePath] = []

    def make(*, tap: bool = True, **options: object) -> LivePath:
        path = LivePath(tmp_path / f"live{len(made)}", rabbitmq.url, seed=seed, **options)  # type: ignore[arg-type]
        made.append(path)
        if tap:
            asyncio.run(make_tap(path))
        return path

    yield make
    for path in made:
        path.close()


def healed(path: LivePath, *, drained_s_max: float = 60.0) -> Evidence:
    """The second phase: no faults any more, the exchange goes on a little and ends; everything must converge."""
    path.flow_on(500)
    path.end_exchange()
    drained(path, timeout_s=drained_s_max)
    return gather(path)


def assert_invariants(path: LivePath, found: Evidence) -> None:
    """None of them is violated."""
    broken = violations(path, found)
    assert broken == [], f"seed {path.seed}:\n" + "\n".join(broken)


def records(found: Evidence) -> list[dict[str, Any]]:
    """The records as objects."""
    return [json.loads(text) for text in found.records]
