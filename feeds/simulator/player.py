"""Sends a recording to a feed's lines, in its own timing divided by a speed."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from feeds.config import FeedConfig
from feeds.simulator.cap import CapDatagram
from feeds.simulator.sender import LineSender

FAST_RATE = 5_000
"""Datagrams/s at speed 0, as fast as is safe for a listener with ordinary buffers."""
_WAIT_S_MAX = 0.1
_REPORT_S = 1.0
LINE_CHOICES = ("both", "A", "B", "recorded")


class MissingLine(ValueError):
    """The feed has no such line."""


class Played(NamedTuple):
    datagrams: int
    """Of the recording; each may have gone to two lines."""
    sent: dict[str, int]
    elapsed_s: float


def due_at_s(datagram: CapDatagram, number: int, *, first_ns: int, speed: float) -> float:
    """When a datagram goes out, in seconds after the first. Time in the recording may step back: then at once."""
    if speed == 0:
        return number / FAST_RATE
    return (datagram.rx_ns - first_ns) / 1e9 / speed


def play(
    feed: FeedConfig, datagrams: Iterable[CapDatagram], *, line: str, speed: float, stopped: Callable[[], bool],
    report: Callable[[int, float], None],
) -> Played:  # fmt: skip
    """`line` is one of LINE_CHOICES: every datagram to both lines, to one of them, or each to the one it came from."""
    senders = _open(feed, line)
    start_s = reported_s = time.monotonic()
    first_ns = count = 0
    try:
        for count, datagram in enumerate(datagrams, start=1):
            first_ns = first_ns or datagram.rx_ns
            due_s = start_s + due_at_s(datagram, count - 1, first_ns=first_ns, speed=speed)
            if not _wait_until(due_s, stopped):
                count -= 1
                break
            for sender in senders:
                if line != "recorded" or sender.name == datagram.line:
                    sender.send(datagram.data)
            if time.monotonic() - reported_s >= _REPORT_S:
                reported_s = time.monotonic()
                report(count, reported_s - start_s)
    finally:
        for sender in senders:
            sender.close()
    return Played(count, {sender.name: sender.sent for sender in senders}, time.monotonic() - start_s)


def _open(feed: FeedConfig, line: str) -> list[LineSender]:
    wanted = [config for config in feed.lines if line in ("both", "recorded", config.name)]
    if not wanted:
        known = ", ".join(config.name for config in feed.lines) or "none"
        raise MissingLine(f"feed {feed.name} has no line {line}; its lines are {known}")
    return [LineSender(config) for config in wanted]


def _wait_until(due_s: float, stopped: Callable[[], bool]) -> bool:
    """False when the wait was ended by `stopped()`."""
    while True:
        if stopped():
            return False
        left_s = due_s - time.monotonic()
        if left_s <= 0:
            return True
        time.sleep(min(left_s, _WAIT_S_MAX))
