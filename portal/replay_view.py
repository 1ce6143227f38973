"""A replay job as its pages show it: how far, how fast, how much longer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from portal.readings import AMBER, GREEN, GREY, RED
from replay import states
from replay.jobs import STALE_AFTER
from replay.models import ReplayJob
from replay.submission import unix_ns

_LIGHTS = {
    states.SUBMITTED: GREY,
    states.QUEUED: AMBER,
    states.RUNNING: GREEN,
    states.COMPLETED: GREEN,
    states.CANCELLED: GREY,
    states.FAILED: RED,
}


@dataclass(frozen=True, slots=True)
class JobView:
    """`percent` is of the time range; `rate` in messages/s since the start; `eta_s` None when it cannot be told."""

    row: ReplayJob
    light: str
    state: str
    percent: float
    rate: float | None
    eta_s: float | None
    elapsed_s: float | None
    stale: bool

    @classmethod
    def of(cls, job: ReplayJob, *, now: datetime) -> JobView:
        """The job as it is at `now`."""
        stale = job.state == states.RUNNING and job.seen_at is not None and now - job.seen_at > STALE_AFTER
        state = "cancelling" if job.cancel_requested and job.state == states.RUNNING else job.state
        elapsed_s = None
        if job.started_at is not None:
            elapsed_s = max(0.0, ((job.finished_at or now) - job.started_at).total_seconds())
        fraction = _fraction(job)
        return cls(
            row=job,
            light=AMBER if stale or state == "cancelling" else _LIGHTS[job.state],
            state=state,
            percent=round(fraction * 100, 1),
            rate=job.messages_sent / elapsed_s if elapsed_s else None,
            eta_s=_eta_s(job, fraction, elapsed_s),
            elapsed_s=elapsed_s,
            stale=stale,
        )

    @property
    def client_line(self) -> str:
        """What a client types to follow it."""
        return f"mdds sub FPT --ch trade --origin {self.row.origin}"


def _fraction(job: ReplayJob) -> float:
    if job.state == states.COMPLETED:
        return 1.0
    if job.current_ns is None:
        return 0.0
    start, end = unix_ns(job.from_at), unix_ns(job.to_at)
    return min(1.0, max(0.0, (job.current_ns - start) / (end - start)))


def _eta_s(job: ReplayJob, fraction: float, elapsed_s: float | None) -> float | None:
    if job.state != states.RUNNING or not elapsed_s:
        return None
    if job.speed:
        return (1 - fraction) * (job.to_at - job.from_at).total_seconds() / job.speed
    return elapsed_s * (1 - fraction) / fraction if fraction > 0.01 else None
