"""The machine of a replay job."""

from __future__ import annotations

import pytest

from replay import states


def test_the_ends_lead_nowhere_and_everything_else_leads_to_an_end() -> None:
    assert set(states.ENDED) == {"completed", "cancelled", "failed"}
    assert set(states.ACTIVE) == {"submitted", "queued", "running", "paused"}
    for state in states.ACTIVE:
        assert states.may_follow(state, states.CANCELLED)
        assert states.may_follow(state, states.FAILED)


@pytest.mark.parametrize(
    ("state", "follower", "may"),
    [
        ("submitted", "queued", True),
        ("queued", "submitted", True),
        ("running", "queued", True),
        ("running", "paused", True),
        ("paused", "queued", True),
        ("paused", "running", False),
        ("completed", "paused", False),
        ("queued", "completed", False),
        ("completed", "running", False),
        ("cancelled", "queued", False),
        ("unheard of", "queued", False),
    ],
)
def test_who_may_follow_whom(state: str, follower: str, may: bool) -> None:
    assert states.may_follow(state, follower) is may


def test_only_a_running_job_completes() -> None:
    assert states.states_before(states.COMPLETED) == ("running",)
