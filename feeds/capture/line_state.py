"""A line's state: up, silent or down, as a table of events.

Theory: a line proves itself by anything it brings, heartbeats (MV) included. Silence beyond `line_silent_ns_max` makes
it silent; beyond `line_down_ns_max` it is down, but only while data is expected: at night silence proves nothing.
Silence is summed over the looks and never by the clock alone, so that a jump of the clock or a stall of the publisher
is no silence of the line.
"""

from __future__ import annotations

from dataclasses import dataclass

UP, SILENT, DOWN = "up", "silent", "down"
STATES = (UP, SILENT, DOWN)
# Events: a datagram or heartbeat was seen; nothing for `line_silent_ns_max`; nothing for `line_down_ns_max` though data
# is expected; the feed was disabled by an operator.
HEARD, QUIET, DEAD, DISABLED = "heard", "quiet", "dead", "disabled"

TABLE: dict[tuple[str, str], str] = {
    (UP, HEARD): UP,
    (UP, QUIET): SILENT,
    (UP, DEAD): DOWN,
    (UP, DISABLED): DOWN,
    (SILENT, HEARD): UP,
    (SILENT, QUIET): SILENT,
    (SILENT, DEAD): DOWN,
    (SILENT, DISABLED): DOWN,
    (DOWN, HEARD): UP,
    (DOWN, QUIET): DOWN,
    (DOWN, DEAD): DOWN,
    (DOWN, DISABLED): DOWN,
}


@dataclass(slots=True)
class LineWatch:
    """One line as the publisher watches it. A new one is silent since this moment: nobody has heard it yet."""

    name: str
    silent_ns_max: int
    down_ns_max: int
    state: str = SILENT
    received: int = 0
    silence_ns: int = 0

    def look(self, received: int, step_ns: int, *, expected: bool) -> str:
        """What happened since the last look, `step_ns` ago. `received` is the line's counter."""
        if received != self.received:
            self.received = received
            self.silence_ns = 0
            return HEARD
        self.silence_ns += step_ns
        if expected and self.silence_ns >= self.down_ns_max:
            return DEAD
        return QUIET if self.silence_ns >= self.silent_ns_max else ""

    def take(self, event: str) -> bool:
        """Move by the table; True when the state is another one."""
        if not event:
            return False
        before, self.state = self.state, TABLE[self.state, event]
        return self.state != before

    @property
    def has_been_silent(self) -> bool:
        return self.state != UP and self.silence_ns >= self.silent_ns_max
