"""What comes by itself, in real time: a heartbeat when idle, a ping every 20 s, the end of who does not answer."""

from __future__ import annotations

import pytest

from tests.conformance.watches import Watches

pytestmark = pytest.mark.services
STATES = {"live", "suspect", "gap", "stale", "failover", "closed"}


def test_an_idle_session_has_a_heartbeat_every_15_s(watches: Watches) -> None:
    beats, idle_s = watches.heartbeats(2)
    assert 14 < idle_s < 20
    for beat in beats:
        assert set(beat) == {"t", "time", "feeds"}
    feed = beats[-1]["feeds"]["STO"]
    assert set(feed) == {"ep", "q", "age_ms", "state"}
    assert feed["state"] in STATES
    assert feed["q"] > 1_000


def test_a_socket_that_does_not_answer_pings_is_closed_within_33_s(watches: Watches) -> None:
    pings_at_s, code, reason, closed_at_s = watches.silent()
    assert 19 < pings_at_s[0] < 24
    assert (code, reason["code"]) == (4003, "NO_PONG")
    assert 500 <= reason["retry_after_ms"] <= 5_000
    assert closed_at_s < 33 + 2  # a loaded machine
