"""Checkpoints: where a player can be taken up again, and how they look in a job's row."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A place in the journal, all before which is confirmed by the bus, with the RAW stage's state there."""

    segment: str
    offset: int
    stage: dict[str, object]
    current_ns: int
    messages_sent: int

    def as_json(self) -> dict[str, object]:
        """As the row keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: dict[str, object]) -> Checkpoint:
        """The inverse of `as_json`. KeyError, TypeError: the row is not one."""
        return cls(**row)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a player is. `checkpoint` is None until the first chunk is confirmed."""

    checkpoint: Checkpoint | None
    current_ns: int
    messages_sent: int
