"""A gateway that begins where the PARSED stream has what a parser published again: nothing between is lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from feeds.bus.base import Outgoing
from feeds.bus.memory import MemoryBus
from subscriptions.gateway.intake import Intake
from subscriptions.gateway.layer import StreamLayer
from tests.gateway import cast

S = 1_000_000_000


@pytest.mark.parametrize(("first_s", "lost"), [(45, 0), (300, 0), (3_000, 2)])
async def test_what_lies_further_back_is_fetched(tmp_path: Path, first_s: int, lost: int) -> None:
    """1 to 5 went out before the history that a gateway fetches at first; then their owner's successor published 2 and
    3 again from its checkpoint and died, and the next one went on with 6. Older than ten minutes is lost for good."""
    bus, layer = MemoryBus(tmp_path, 1), StreamLayer()
    await bus.open()
    outbox = bus.parsed_outbox()
    now = time.time_ns()
    for number, age_s in ((1, first_s), (2, first_s), (3, first_s), (4, first_s), (5, first_s), (2, 2), (3, 2), (6, 1)):
        headers: dict[str, str | int] = {
            "feed": "HSX", "epoch": cast.EPOCH, "origin": "live", "partition": 0, "run": "1", "first": number,
            "last": number, "t_rx": now - age_s * S, "t_pub": now - age_s * S,
        }  # fmt: skip
        await outbox.put(Outgoing(0, cast.trade("FPT", number), headers))
    intake = Intake(bus, layer=layer, name="second")
    running = asyncio.create_task(intake.run())
    await asyncio.wait_for(layer.filled.wait(), 10)
    stream = layer.hub.origins["live"][b'{"ch":"trade","s":"FPT"']
    assert stream.history is not None
    assert [number for number, _, _, _ in stream.history][-1] == 6
    assert intake.spans.lost == lost
    if not lost:
        assert [number for number, _, _, _ in stream.history] == [2, 3, 4, 5, 6]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
