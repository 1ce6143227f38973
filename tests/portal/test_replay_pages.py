"""The replay pages: the form, its errors, the estimate, the list and a job's progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from feeds.models import Feed
from replay import tasks
from replay.models import ReplayJob
from tests.replay.doubles import both_lines, write_journal

GOOD = {"feed": "STO", "from_at": "2026-11-20 02:15:02", "to_at": "2026-11-20T02:15:04Z", "speed": "0"}


@pytest.fixture
def sent(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A journal of ten seconds; what reaches the queue."""
    write_journal(tmp_path / "journal" / "STO", both_lines(range(1, 1001)))
    settings.MDDS = SimpleNamespace(data_dir=tmp_path)
    reached: list[int] = []
    monkeypatch.setattr(tasks.play, "apply_async", lambda arguments, **_options: reached.append(arguments[0]))
    return reached


def test_the_form_proposes_the_last_five_minutes(feed: Feed, log_in: Callable[[str], Client]) -> None:
    form = log_in("alice").get("/portal/replay/").context["form"]
    begin, end = (timezone.datetime.fromisoformat(form.initial[name]) for name in ("from_at", "to_at"))
    assert (end - begin).total_seconds() == 300
    assert (form.initial["feed"], form.initial["speed"]) == ("STO", 1)


@pytest.mark.django_db(transaction=True)
def test_a_good_form_becomes_a_queued_job(feed: Feed, log_in: Callable[[str], Client], sent: list[int]) -> None:
    answer = log_in("alice").post("/portal/replay/", GOOD)
    (job,) = ReplayJob.objects.all()
    assert answer.headers["Location"] == f"/portal/replay/{job.pk}/"
    assert (sent, job.state, job.messages_total_estimate) == ([job.pk], "queued", 200)
    assert (job.from_at.isoformat(), job.to_at.isoformat()) == (
        "2026-11-20T02:15:02+00:00",
        "2026-11-20T02:15:04+00:00",
    )
    assert job.submitted_by.username == "alice"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"feed": "XYZ"}, "Feed: there is no feed 'XYZ'"),
        ({"from_at": "yesterday"}, "From: 'yesterday' is not a time. Write it in UTC"),
        ({"from_at": "2026-13-41 02:15:00"}, "From: '2026-13-41 02:15:00' is not a time"),
        ({"to_at": ""}, "To: give a time in UTC"),
        ({"to_at": "2026-11-20 02:15:01"}, "To: must be after from: found 2026-11-20 02:15:01 UTC"),
        ({"to_at": "2199-01-01 00:00:00"}, "To: lies in the future: found 2199-01-01 00:00:00 UTC"),
        ({"from_at": "2026-11-18 02:15:00"}, "To: the range may be 24 h long at most, found 48.0 h"),
        ({"speed": "fast"}, "Speed: 'fast' is not a number from 0 to 1000"),
        ({"speed": "-1"}, "Speed: expected 0 (as fast as possible) to 1000, found -1"),
        ({"speed": "inf"}, "Speed: 'inf' is not a number"),
    ],
)
def test_bad_input_names_the_field_and_the_value(
    feed: Feed, log_in: Callable[[str], Client], sent: list[int], change: dict[str, str], says: str
) -> None:
    client = log_in("alice")
    answer = client.post("/portal/replay/", GOOD | change)
    shown = [error for errors in answer.context["form"].errors.values() for error in errors]
    assert answer.status_code == 422
    assert any(says in error for error in shown), shown
    estimate = client.get("/portal/replay/estimate/", GOOD | change)
    assert any(says in error for errors in estimate.context["form"].errors.values() for error in errors)
    assert not ReplayJob.objects.exists()
    assert sent == []


def test_an_error_shows_typed_text_as_text(feed: Feed, log_in: Callable[[str], Client], sent: list[int]) -> None:
    answer = log_in("alice").post("/portal/replay/", GOOD | {"from_at": "<script>alert(1)</script>"})
    assert "<script>alert(1)" not in answer.content.decode()


def test_the_estimate_says_what_the_range_holds(feed: Feed, log_in: Callable[[str], Client], sent: list[int]) -> None:
    answer = log_in("bob").get("/portal/replay/estimate/", GOOD)
    assert (answer.context["estimate"].messages, answer.context["estimate"].datagrams) == (200, 400)
    empty = log_in("bob").get(
        "/portal/replay/estimate/", GOOD | {"from_at": "2026-11-20 02:14:00", "to_at": "2026-11-20 02:14:30"}
    )
    assert "The journal holds nothing in this range" in empty.content.decode()


def test_a_running_job_shows_progress_and_asks_again(job: ReplayJob, log_in: Callable[[str], Client]) -> None:
    text = log_in("bob").get(f"/portal/replay/{job.pk}/progress/").content.decode()
    for part in ('value="50.0"', "50.0 %", "2,000", "4,000", 'hx-trigger="every 1s"'):
        assert part in text
    assert "Cancel replay" not in text  # Bob only sees
    assert "Cancel replay" in log_in("alice").get(f"/portal/replay/{job.pk}/").content.decode()


def test_an_ended_job_does_not_ask_again(job: ReplayJob, log_in: Callable[[str], Client]) -> None:
    ReplayJob.objects.update(state="failed", error="BusAway: the <bus> was down", finished_at=timezone.now())
    text = log_in("alice").get(f"/portal/replay/{job.pk}/progress/").content.decode()
    assert "hx-trigger" not in text
    assert "Cancel" not in text
    assert "BusAway: the &lt;bus&gt; was down" in text


def test_the_job_page_has_the_clients_line(job: ReplayJob, log_in: Callable[[str], Client]) -> None:
    text = log_in("bob").get(f"/portal/replay/{job.pk}/").content.decode()
    assert f"mdds sub FPT --ch trade --origin replay:{job.pk}" in text


def test_cancel_asks_the_player_and_shows_it(job: ReplayJob, log_in: Callable[[str], Client]) -> None:
    answer = log_in("alice").post(f"/portal/replay/{job.pk}/cancel/", follow=True)
    job.refresh_from_db()
    assert job.cancel_requested
    assert "Cancelling…" in answer.content.decode()


def test_the_list_filters_by_the_url_and_pages_on_the_server(job: ReplayJob, log_in: Callable[[str], Client]) -> None:
    client = log_in("bob")
    ended = {"state": "completed", "worker": "", "finished_at": timezone.now()}
    for _ in range(60):
        ReplayJob.objects.create(
            **{field.attname: getattr(job, field.attname) for field in ReplayJob._meta.fields if not field.primary_key}
            | ended
        )
    listed = client.get("/portal/replay/").context["list"]
    assert (len(listed.jobs), listed.page.paginator.count, listed.page.paginator.num_pages) == (25, 61, 3)
    assert [one.row.pk for one in client.get("/portal/replay/?state=running").context["list"].jobs] == [job.pk]
    assert client.get(f"/portal/replay/?q=replay:{job.pk}").context["list"].page.paginator.count == 1
    assert client.get("/portal/replay/?q=nobody").context["list"].filtered
    assert len(client.get("/portal/replay/?page=99&state=completed").context["list"].jobs) == 10


def test_the_csv_has_every_row_of_the_filter_and_no_formulas(job: ReplayJob, log_in: Callable[[str], Client]) -> None:
    ReplayJob.objects.update(state="failed", error='=HYPERLINK("http://evil")', finished_at=timezone.now())
    answer = log_in("bob").get("/portal/export/replays.csv?state=failed")
    head, row = answer.content.decode().splitlines()
    assert head.startswith("id,feed,from,to")
    assert "\"'=HYPERLINK(" in row
    assert len(log_in("bob").get("/portal/export/replays.csv?state=running").content.decode().splitlines()) == 1
