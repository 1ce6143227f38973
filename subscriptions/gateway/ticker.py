"""The flush ticker: every seat has its turn in the flush interval, and a flush that takes long is followed by a rest.

A client is written to at the same place of every interval, so a record waits for one interval at most, however many
clients there are. Turns that are spread over the interval make no bursts, neither here nor on the way to the clients;
within one, the loop reads the bus and the sockets between slices. A turn that is late is followed by the next one at
once; when a flush takes longer than its interval leaves, records gather into fewer and larger frames.
"""

from __future__ import annotations

import asyncio

from subscriptions.gateway.layer import SLICE_SEATS, StreamLayer
from subscriptions.gateway.metrics import FLUSH_S
from subscriptions.gateway.places import turns_of

TURN_S_MIN = 0.002  # uvloop's timers have 1 ms
SPREAD = 0.8  # of the interval, over which the turns are spread; the rest is for turns that are late


def next_flush_s(began_s: float, ended_s: float, *, busy_s: float, interval_s: float) -> float:
    """When the next flush begins: on time, but not before the loop had as long for everything else (one interval), the
    time between the turns included."""
    return max(began_s + interval_s, began_s + busy_s + min(busy_s, interval_s), ended_s)


def is_done(now_ns: int, ticked_ns: int, interval_s: float) -> bool:
    """Whether many bytes have made the intake write to everybody a moment ago."""
    return 0 <= now_ns - ticked_ns < 0.5e9 * interval_s


async def run(layer: StreamLayer) -> None:
    """Until cancelled."""
    clock = asyncio.get_running_loop().time
    interval_s = max(1, layer.settings.flush_ms) / 1000
    began_s = clock() + interval_s
    while True:
        turns = turns_of(len(layer.seats), interval_s, seats_max=SLICE_SEATS, turn_s_min=TURN_S_MIN)
        busy_s = 0.0
        for turn in range(turns):
            await asyncio.sleep(max(0.0, began_s + turn * SPREAD * interval_s / turns - clock()))
            if is_done(layer.clock_ns(), layer.ticked_ns, interval_s):
                continue
            slice_s = clock()
            for count in layer.slices(turn, turns):
                if count:
                    busy_s += clock() - slice_s
                    await asyncio.sleep(0)  # the transports write at the end of the loop's turn
                    slice_s = clock()
        if busy_s:
            FLUSH_S.observe(busy_s)
        began_s = next_flush_s(began_s, clock(), busy_s=busy_s, interval_s=interval_s)
