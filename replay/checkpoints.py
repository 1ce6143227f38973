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
    def at_seek(cls, to_ns: int, *, epoch: int, messages_sent: int) -> Checkpoint:
        """A fresh start at `to_ns`. The epoch rises above `epoch`: what was played before may be played again."""
        return cls("", 0, {"epoch": epoch, "journal_epoch": 0, "streams": []}, to_ns, messages_sent)

    @property
    def is_seek(self) -> bool:
        """Whether the journal is to be searched by time."""
        return not self.segment

    @property
    def epoch(self) -> int:
        """The epoch of what was sent before it."""
        return int(str(self.stage["epoch"]))

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
