"""Looks after sessions in turn: heartbeats to the idle, and the end of those that never authenticate.

Each session is in the layer's wheel once. It is looked at when its next heartbeat would be due; whoever was sent
something meanwhile goes back into the wheel. So heartbeats are spread as the sessions came, and nobody walks over all.
"""

from __future__ import annotations

from collections.abc import Callable

from subscriptions.close_codes import CloseCode
from subscriptions.gateway.layer import Seat, StreamLayer

LOOK_S = 0.1


class Looks:
    def __init__(self, layer: StreamLayer, *, heartbeat: Callable[[int], bytes]) -> None:
        self.layer, self._heartbeat = layer, heartbeat

    def look(self, now_ns: int) -> None:
        """Look at those that are due; the frame of a heartbeat is made once for all of them."""
        frame: bytes | None = None
        for name in self.layer.wheel.due(now_ns):
            seat = self.layer.seats.get(name)
            if seat is None or seat.cut:
                continue
            if self._unused(seat, now_ns):
                self.layer.cut(seat, CloseCode.AUTH, "AUTH_REQUIRED")
                continue
            outbox = seat.outbox
            if self._idle_until_ns(seat) <= now_ns and not outbox.pending:
                frame = frame or self._heartbeat(now_ns)
                outbox.put_control(frame)
                self.layer.flush_seat(seat, now_ns)
            self.layer.wheel.put(name, self._next_ns(seat, now_ns))

    def _unused(self, seat: Seat, now_ns: int) -> bool:
        session = seat.session
        return (
            session.anonymous
            and not session.subscriptions
            and now_ns - session.opened_ns >= self.layer.settings.authenticate_s * 1e9
        )

    def _idle_until_ns(self, seat: Seat) -> int:
        """When it is due a heartbeat, if nothing is sent to it before."""
        return (seat.outbox.sent_ns or seat.session.opened_ns) + self.layer.settings.heartbeat_s * 1_000_000_000

    def _next_ns(self, seat: Seat, now_ns: int) -> int:
        next_ns = self._idle_until_ns(seat)
        if next_ns <= now_ns:  # a client that does not take what waits for it
            next_ns = now_ns + 1_000_000_000
        if seat.session.anonymous:
            next_ns = min(next_ns, now_ns + 1_000_000_000)
        return next_ns
