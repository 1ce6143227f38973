"""The server's clock as seen from here: round trips, and how far this machine's clock is off."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One question: sent and answered at these local times (ns since 1970), and what the server's clock said."""

    sent_ns: int
    answered_ns: int
    server_time: str | None

    @property
    def round_trip_s(self) -> float:
        return (self.answered_ns - self.sent_ns) / 1e9

    @property
    def offset_s(self) -> float | None:
        """What this machine's clock lacks to the server's, to half a round trip; None when it did not say."""
        if self.server_time is None:
            return None
        try:
            server_s = datetime.fromisoformat(self.server_time).timestamp()
        except ValueError:
            return None
        return server_s - (self.sent_ns + self.answered_ns) / 2e9


@dataclass(slots=True)
class Clock:
    """Several readings; the quickest one tells the offset best."""

    readings: list[ClockReading] = field(default_factory=list)

    def take(self, reading: ClockReading) -> None:
        self.readings.append(reading)

    @property
    def count(self) -> int:
        return len(self.readings)

    @property
    def round_trip_s(self) -> float:
        """The median; 0 before the first reading."""
        return statistics.median([reading.round_trip_s for reading in self.readings] or [0.0])

    @property
    def offset_s(self) -> float | None:
        return min(self.readings, key=lambda reading: reading.round_trip_s).offset_s if self.readings else None

    def age_s(self, server_ns: int, *, now_ns: int) -> float:
        """How long ago the server saw something, by its own clock."""
        return (now_ns - server_ns) / 1e9 + (self.offset_s or 0.0)
