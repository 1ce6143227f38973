"""What each line brought, in messages."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class LineCounts:
    """Counts of one line. received = first + duplicate + late (I2), heartbeats and unframed spans among the first."""

    received: int = 0
    first: int = 0  # this line's copy was released (or waits)
    duplicate: int = 0
    late: int = 0  # filled a declared gap
    heartbeats: int = 0
    unframed: int = 0
    disagreed: int = 0  # same sequence as an earlier copy, other bytes
    last_rx_ns: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)
