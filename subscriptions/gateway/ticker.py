"""The flush ticker: every seat has its turn in the flush interval, and a flush that takes long is followed by a rest.

A client is written to at the same place of every interval, so a record waits for one interval at most, however many
clients there are. Turns that are spread over the interval make no bursts, neither here nor on the way to the clients;
within one, the loop reads the bus and the sockets between slices. A turn that is late is followed by the next one at
once. When the loop is busy nearly all the time, or waits for a processor, intervals grow, so that records gather into
fewer and larger frames: what queues before a loop without a moment to spare waits longer than for a longer interval.
"""

from __future__ import annotations

import asyncio
import contextlib

from subscriptions.gateway.layer import SLICE_SEATS, StreamLayer
from subscriptions.gateway.metrics import FLUSH_S
from subscriptions.gateway.places import turns_of
from subscriptions.gateway.thread_busy import ThreadBusy

TURN_S_MIN = 0.002  # uvloop's timers have 1 ms
SPREAD = 0.8  # of the interval, over which the turns are spread; the rest is for turns that are late
# Of the loop's time; while it is busy for more, intervals grow, and shrink again when it is for less.
BUSY_HIGH, BUSY_LOW = 0.93, 0.88
STRETCH_MAX = 4.0
REST = 0.25  # of a flush, behind it, at least; in the turns of the loop between slices others have theirs


class Stretch:
    """How many times its interval a flush takes."""

    def __init__(self) -> None:
        self.times = 1.0
        self._busy = 0.0
        self._wall_s = self._busy_s = 0.0

    def note(self, wall_s: float, busy_s: float) -> None:
        """Once a flush: what the clock says, and how long the loop's thread has been busy (`ThreadBusy`)."""
        passed_s, used_s = wall_s - self._wall_s, busy_s - self._busy_s
        first, self._wall_s, self._busy_s = not self._wall_s, wall_s, busy_s
        if first or passed_s <= 0:
            return
        self._busy += 0.2 * (min(1.0, used_s / passed_s) - self._busy)
        if self._busy > BUSY_HIGH:
            self.times = min(STRETCH_MAX, self.times * 1.05)
        elif self._busy < BUSY_LOW:
            self.times = max(1.0, self.times * 0.98)


def next_flush_s(began_s: float, ended_s: float, *, busy_s: float, interval_s: float) -> float:
    """When the next flush begins: on time, but with a rest behind a long one."""
    return max(began_s + interval_s, began_s + busy_s + REST * min(busy_s, interval_s), ended_s)


def is_done(now_ns: int, ticked_ns: int, interval_s: float) -> bool:
    """Whether many bytes have made the intake write to everybody a moment ago."""
    return 0 <= now_ns - ticked_ns < 0.5e9 * interval_s


async def run(layer: StreamLayer) -> None:
    """Until cancelled."""
    with contextlib.closing(ThreadBusy()) as thread:
        await _tick(layer, thread)


async def _tick(layer: StreamLayer, thread: ThreadBusy) -> None:
    clock = asyncio.get_running_loop().time
    interval_s = max(1, layer.settings.flush_ms) / 1000
    stretch = Stretch()
    began_s = clock() + interval_s
    while True:
        length_s = interval_s * stretch.times
        turns = turns_of(len(layer.seats), interval_s, seats_max=SLICE_SEATS, turn_s_min=TURN_S_MIN)
        busy_s = 0.0
        for turn in range(turns):
            await asyncio.sleep(max(0.0, began_s + turn * SPREAD * length_s / turns - clock()))
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
        stretch.note(clock(), thread.seconds())
        began_s = next_flush_s(began_s, clock(), busy_s=busy_s, interval_s=length_s)
