"""The flush ticker: one tick an interval, in slices, and a rest behind a long one.

A client is written to at the same place of every tick, so a record waits for one interval at most, however many clients
there are: between two slices the loop reads the bus and the sockets, and what comes in goes out with the seats that are
still to come. When a tick takes longer than its interval leaves, records gather into fewer and larger frames.
"""

from __future__ import annotations

import asyncio

from subscriptions.gateway.layer import StreamLayer
from subscriptions.gateway.metrics import FLUSH_S


def next_tick_s(began_s: float, ended_s: float, interval_s: float) -> float:
    """When the next tick begins: on time, but not before the loop had as long for everything else (one interval)."""
    return max(began_s + interval_s, ended_s + min(ended_s - began_s, interval_s))


def early_s(now_ns: int, ticked_ns: int, interval_s: float) -> float:
    """How much too early a tick would be because many bytes have made the intake tick meanwhile; 0 when it is not."""
    since_s = (now_ns - ticked_ns) / 1e9
    return interval_s - since_s if 0 <= since_s < 0.8 * interval_s else 0.0


async def run(layer: StreamLayer) -> None:
    """Until cancelled. uvloop's timers have 1 ms: a shorter interval would spin."""
    clock = asyncio.get_running_loop().time
    interval_s = max(1, layer.settings.flush_ms) / 1000
    due_s = clock() + interval_s
    while True:
        await asyncio.sleep(max(0.0, due_s - clock()))
        early = early_s(layer.clock_ns(), layer.ticked_ns, interval_s)
        if early:
            due_s = clock() + early
            continue
        began_s, seats = clock(), 0
        for count in layer.slices():
            seats += count
            if count:
                await asyncio.sleep(0)  # the transports write at the end of the loop's turn
        ended_s = clock()
        if seats:
            FLUSH_S.observe(ended_s - began_s)
        due_s = next_tick_s(began_s, ended_s, interval_s)
