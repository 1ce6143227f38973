"""The flush ticker: every seat has its turn in the flush interval, and a turn that takes long is followed by a rest.

A client is written to at the same place of every interval, so a record waits for one interval at most, however many
clients there are. Turns that are spread over the interval make no bursts, neither here nor on the way to the clients;
within one, the loop reads the bus and the sockets between slices. When a turn takes longer than its part of the
interval leaves, the ones behind it come later, and records gather into fewer and larger frames.
"""

from __future__ import annotations

import asyncio

from subscriptions.gateway.layer import SLICE_SEATS, StreamLayer
from subscriptions.gateway.metrics import FLUSH_S
from subscriptions.gateway.places import turns_of

TURN_S_MIN = 0.002  # uvloop's timers have 1 ms


def next_turn_s(due_s: float, began_s: float, ended_s: float, *, part_s: float) -> float:
    """When the next turn begins, `part_s` being a turn's part of the interval: on time, but not before the loop had as
    long for everything else (one part)."""
    return max(due_s + part_s, ended_s + min(ended_s - began_s, part_s))


def is_done(now_ns: int, ticked_ns: int, interval_s: float) -> bool:
    """Whether many bytes have made the intake write to everybody a moment ago."""
    return 0 <= now_ns - ticked_ns < 0.5e9 * interval_s


async def run(layer: StreamLayer) -> None:
    """Until cancelled."""
    clock = asyncio.get_running_loop().time
    interval_s = max(1, layer.settings.flush_ms) / 1000
    due_s = clock() + interval_s
    while True:
        turns = turns_of(len(layer.seats), interval_s, seats_max=SLICE_SEATS, turn_s_min=TURN_S_MIN)
        busy_s = 0.0
        for turn in range(turns):
            await asyncio.sleep(max(0.0, due_s - clock()))
            began_s, seats = clock(), 0
            for count in () if is_done(layer.clock_ns(), layer.ticked_ns, interval_s) else layer.slices(turn, turns):
                seats += count
                if count:
                    await asyncio.sleep(0)  # the transports write at the end of the loop's turn
            ended_s = clock()
            busy_s += ended_s - began_s if seats else 0.0
            due_s = next_turn_s(due_s, began_s, ended_s, part_s=interval_s / turns)
        if busy_s:
            FLUSH_S.observe(busy_s)
