"""The flush ticker: one tick an interval, in slices that are spread over it, and a rest behind a long one.

A client is written to at the same place of every tick, so a record waits for one interval at most, however many clients
there are: between two slices the loop reads the bus and the sockets, and what comes in goes out with the seats that are
still to come. Spread slices make no bursts, neither here nor on the way to the clients. When a tick takes longer than
its interval leaves, records gather into fewer and larger frames.
"""

from __future__ import annotations

import asyncio

from subscriptions.gateway.layer import StreamLayer
from subscriptions.gateway.metrics import FLUSH_S

SPREAD = 0.8  # of the interval; what is left of it is for a tick that has more slices than the one before
PAUSE_S_MIN = 0.002  # between two slices; below it they follow each other: uvloop's timers have 1 ms


def next_tick_s(began_s: float, ended_s: float, *, busy_s: float, interval_s: float) -> float:
    """When the next tick begins: on time, but not before the loop had as long for everything else (one interval), the
    time between the slices included."""
    return max(began_s + interval_s, began_s + busy_s + min(busy_s, interval_s), ended_s)


def early_s(now_ns: int, ticked_ns: int, interval_s: float) -> float:
    """How much too early a tick would be because many bytes have made the intake tick meanwhile; 0 when it is not."""
    since_s = (now_ns - ticked_ns) / 1e9
    return interval_s - since_s if 0 <= since_s < 0.8 * interval_s else 0.0


def pause_s(slices: int, interval_s: float) -> float:
    """From the beginning of one slice to the next, in a tick like one of so many slices."""
    pause = SPREAD * interval_s / max(1, slices)
    return pause if pause >= PAUSE_S_MIN else 0.0


async def run(layer: StreamLayer) -> None:
    """Until cancelled. uvloop's timers have 1 ms: a shorter interval would spin."""
    clock = asyncio.get_running_loop().time
    interval_s = max(1, layer.settings.flush_ms) / 1000
    due_s, slices = clock() + interval_s, 1
    while True:
        await asyncio.sleep(max(0.0, due_s - clock()))
        early = early_s(layer.clock_ns(), layer.ticked_ns, interval_s)
        if early:
            due_s = clock() + early
            continue
        began_s = slice_s = clock()
        pause, busy_s, seats, slices = pause_s(slices, interval_s), 0.0, 0, 0
        for count in layer.slices():
            now_s = clock()
            busy_s += now_s - slice_s
            if count:
                seats, slices = seats + count, slices + 1
                # The transports write at the end of the loop's turn.
                await asyncio.sleep(max(0.0, began_s + slices * pause - now_s) if slices * pause < interval_s else 0)
            slice_s = clock()
        if seats:
            FLUSH_S.observe(busy_s)
        due_s = next_tick_s(began_s, clock(), busy_s=busy_s, interval_s=interval_s)
