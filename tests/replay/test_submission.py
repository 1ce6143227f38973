"""Submitting: what is refused and why, what is estimated, what is stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from feeds.models import Feed
from replay.estimate import Estimate, estimate
from replay.limits import ReplayLimits
from replay.models import ReplayJob
from replay.submission import ReplayRefused, ReplayRequest, submit, unix_ns
from tests.replay.doubles import SECOND_NS, START_NS, both_lines, write_journal

START = datetime(2026, 11, 20, 2, 15, tzinfo=UTC)
NOW = START + timedelta(minutes=5)
LIMITS = ReplayLimits(range_s_max=60, jobs_per_user_max=2, speed_max=100)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    write_journal(tmp_path / "journal" / "STO", both_lines(range(1, 1001)))
    return tmp_path


def request(feed: Feed, *, start: float = 0, end: float = 10, speed: float = 1.0) -> ReplayRequest:
    return ReplayRequest(feed, START + timedelta(seconds=start), START + timedelta(seconds=end), speed)


def test_a_good_request_is_stored_with_its_estimate(feed: Feed, alice: User, data_dir: Path) -> None:
    job = submit(request(feed, start=2, end=4), user=alice, data_dir=data_dir, now=NOW, limits=LIMITS)
    job.refresh_from_db()
    assert (job.state, job.submitted_by, job.submitted_at) == ("submitted", alice, NOW)
    assert job.messages_total_estimate == 200
    assert job.bytes_total_estimate > 200 * 2 * 100
    assert job.origin == f"replay:{job.pk}"


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"start": 5, "end": 5}, "to", "must be after from: found 2026-11-20 02:15:05 UTC"),
        ({"start": 9, "end": 5}, "to", "must be after from"),
        ({"end": 400}, "to", "lies in the future: found 2026-11-20 02:21:40 UTC"),
        ({"end": 61}, "to", "0.0166667 h long at most"),
        ({"speed": -2.0}, "speed", "found -2"),
        ({"speed": 101.0}, "speed", "to 100, found 101"),
        ({"speed": float("nan")}, "speed", "found nan"),
        ({"start": -50, "end": -10}, "from", "the journal of STO holds nothing"),
    ],
)
def test_a_bad_request_is_refused_with_field_and_value(
    feed: Feed, alice: User, data_dir: Path, change: dict[str, float], field: str, says: str
) -> None:
    with pytest.raises(ReplayRefused) as refusal:
        submit(request(feed, **change), user=alice, data_dir=data_dir, now=NOW, limits=LIMITS)
    assert refusal.value.field == field
    assert says in refusal.value.reason
    assert not ReplayJob.objects.exists()


def test_a_user_has_a_number_of_replays_at_a_time(feed: Feed, alice: User, data_dir: Path) -> None:
    bob = User.objects.create_user("bob")
    for _ in range(2):
        submit(request(feed), user=alice, data_dir=data_dir, now=NOW, limits=LIMITS)
    with pytest.raises(ReplayRefused, match="you have 2 replays under way"):
        submit(request(feed), user=alice, data_dir=data_dir, now=NOW, limits=LIMITS)
    submit(request(feed), user=bob, data_dir=data_dir, now=NOW, limits=LIMITS)
    ReplayJob.objects.filter(submitted_by=alice).update(state="cancelled", finished_at=NOW)
    submit(request(feed), user=alice, data_dir=data_dir, now=NOW, limits=LIMITS)


def test_the_estimate_of_a_short_range_is_exact(data_dir: Path) -> None:
    found = estimate(data_dir / "journal" / "STO", from_ns=START_NS + SECOND_NS, to_ns=START_NS + 3 * SECOND_NS)
    assert (found.messages, found.datagrams, found.sampled) == (200, 400, False)


def test_the_estimate_of_a_long_range_is_scaled_from_a_sample(tmp_path: Path) -> None:
    entries = both_lines(range(1, 20_001), step_ns=1_000_000)
    folder = write_journal(tmp_path / "STO", entries, block_entries=500)
    found = estimate(folder, from_ns=START_NS, to_ns=START_NS + 20 * SECOND_NS)
    assert found.sampled
    assert found.messages == pytest.approx(20_000, rel=0.15)
    assert found.bytes == pytest.approx(sum(12 + len(one[3]) for one in entries), rel=0.15)


def test_an_absent_journal_is_an_empty_one(tmp_path: Path) -> None:
    assert estimate(tmp_path / "none", from_ns=0, to_ns=START_NS) == Estimate(0, 0, 0, sampled=False)


def test_moments_become_nanoseconds_without_a_float() -> None:
    assert unix_ns(datetime(2026, 11, 20, 2, 15, 0, 123456, tzinfo=UTC)) == START_NS + 123_456_000
