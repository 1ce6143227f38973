"""The limits of replays: how long, how many, how fast."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplayLimits:
    """What one operator may ask of the replay. At a limit the submission is refused, with the field named."""

    range_s_max: int = 24 * 3600  # one session; longer ranges are several jobs
    jobs_per_user_max: int = 3  # submitted, queued or running at the same time
    speed_max: float = 1000.0
    messages_per_s_max: int = 20_000  # a replay slows down here rather than crowd the brokers' disks


DEFAULT_LIMITS = ReplayLimits()
