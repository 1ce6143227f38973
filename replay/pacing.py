"""Pacing: when each datagram of a replay is due.

At speed N the time between two datagrams is their original time (by `rx_ns`) divided by N; speed 0 sends as fast as
the rate cap allows. Time is an argument: the pacer never looks at a clock and never sleeps.
"""

from __future__ import annotations

AS_FAST_AS_POSSIBLE = 0.0


class Pacer:
    """The due times of one run of a replay.

    `start_rx_ns` is the journal time at which the run begins, `start_now_ns` the moment (any monotonic clock) at which
    it is due. A pause, a seek or a resume from a checkpoint is a new pair: call `rebase`.
    """

    def __init__(self, *, speed: float, messages_per_s_max: int, start_rx_ns: int, start_now_ns: int) -> None:
        if speed < 0:
            raise ValueError(f"speed: expected 0 (as fast as possible) or more, found {speed}")
        if messages_per_s_max <= 0:
            raise ValueError(f"messages_per_s_max: expected more than 0, found {messages_per_s_max}")
        self.speed = speed
        self._message_ns = 1_000_000_000 / messages_per_s_max
        self._rate_free_ns = float(start_now_ns)
        self.rebase(start_rx_ns=start_rx_ns, start_now_ns=start_now_ns)

    def rebase(self, *, start_rx_ns: int, start_now_ns: int) -> None:
        """Make `start_rx_ns` due at `start_now_ns`."""
        self._start_rx_ns = start_rx_ns
        self._start_now_ns = start_now_ns

    def due_ns(self, rx_ns: int) -> int:
        """The moment at which a datagram received at `rx_ns` is due by its original timing."""
        if self.speed == AS_FAST_AS_POSSIBLE:
            return self._start_now_ns
        return self._start_now_ns + max(0, round((rx_ns - self._start_rx_ns) / self.speed))

    def horizon_rx_ns(self, now_ns: int) -> int | None:
        """The latest `rx_ns` that is due at `now_ns`; None when everything is."""
        if self.speed == AS_FAST_AS_POSSIBLE:
            return None
        return self._start_rx_ns + round(max(0, now_ns - self._start_now_ns) * self.speed)

    def wait_ns(self, rx_ns: int, *, now_ns: int) -> int:
        """How long to wait from `now_ns` until a datagram received at `rx_ns` may go: its timing and the rate cap."""
        return max(0, self.due_ns(rx_ns) - now_ns, round(self._rate_free_ns) - now_ns)

    def sent(self, messages: int, *, now_ns: int) -> None:
        """Count `messages` against the rate cap. An idle time is not saved up: the cap holds over any second."""
        self._rate_free_ns = max(self._rate_free_ns, float(now_ns)) + messages * self._message_ns
