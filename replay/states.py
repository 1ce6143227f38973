"""The states of a replay job: the machine as a table.

```
submitted ◀▶ queued ─▶ running ─▶ completed | cancelled | failed
     │          │         └─▶ queued            (its worker was lost; it goes on from the checkpoint)
     │          │         └─▶ paused ─▶ queued | cancelled
     └──────────┴─▶ paused | cancelled | failed
```
"""

from __future__ import annotations

SUBMITTED = "submitted"
QUEUED = "queued"
RUNNING = "running"
PAUSED = "paused"
COMPLETED = "completed"
CANCELLED = "cancelled"
FAILED = "failed"

# state -> what may follow it. A paused job has no worker: resuming it sends it to the queue again.
FOLLOWERS: dict[str, frozenset[str]] = {
    SUBMITTED: frozenset({QUEUED, RUNNING, PAUSED, CANCELLED, FAILED}),
    QUEUED: frozenset({SUBMITTED, RUNNING, PAUSED, CANCELLED, FAILED}),
    RUNNING: frozenset({QUEUED, PAUSED, COMPLETED, CANCELLED, FAILED}),
    PAUSED: frozenset({QUEUED, CANCELLED, FAILED}),
    COMPLETED: frozenset(),
    CANCELLED: frozenset(),
    FAILED: frozenset(),
}

ALL: tuple[str, ...] = tuple(FOLLOWERS)
ENDED: tuple[str, ...] = tuple(state for state, followers in FOLLOWERS.items() if not followers)
ACTIVE: tuple[str, ...] = tuple(state for state, followers in FOLLOWERS.items() if followers)
WAITING: tuple[str, ...] = (SUBMITTED, QUEUED)


def may_follow(state: str, follower: str) -> bool:
    """Whether a job in `state` may go to `follower`. An unknown state leads nowhere."""
    return follower in FOLLOWERS.get(state, frozenset())


def states_before(follower: str) -> tuple[str, ...]:
    """The states from which a job may go to `follower`: the condition of a conditional update."""
    return tuple(state for state, followers in FOLLOWERS.items() if follower in followers)
