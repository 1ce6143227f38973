"""Replays over REST: submitted, listed, cancelled, paused and moved by their owner alone."""

from __future__ import annotations

import pytest

from replay import jobs, tasks
from replay.models import ReplayJob
from tests.api.conftest import Served, refusal_of
from tests.api.recorded import START_NS

START, END = "2026-11-20T02:15:30Z", "2026-11-20T02:16:00Z"


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The jobs that went to the queue."""
    found: list[int] = []
    monkeypatch.setattr(tasks, "enqueue", lambda job: (found.append(job.pk), jobs.mark_queued(job.pk)))
    monkeypatch.setattr(tasks, "send_again", found.append)
    return found


def submit(served: Served, who: str = "alice", **changes: object) -> int:
    response = served.ask("post", "replays", who, {"start": START, "end": END, "feed": "STO"} | changes)
    assert response.status_code == 201, response.content
    return int(response.json()["id"])


def test_a_replay_is_submitted_listed_and_cancelled(remembering: Served, sent: list[int]) -> None:
    ids = [submit(remembering), submit(remembering, speed=10, symbols=["FPT"])]
    assert sent == ids
    assert ReplayJob.objects.get(pk=ids[1]).isins == ["VN000000FPT1"]
    page = remembering.json("replays", limit=1)
    assert [row["id"] for row in page["replays"]] == ids[1:]
    second = remembering.json("replays", limit=1, cursor=page["next"])
    assert ([row["id"] for row in second["replays"]], second["next"]) == (ids[:1], None)
    row = remembering.json(f"replays/{ids[0]}")
    assert (row["origin"], row["state"], row["speed"], row["start"]) == (f"replay:{ids[0]}", "queued", 1.0, START)
    assert row["messages_estimate"] > 100
    assert remembering.ask("delete", f"replays/{ids[0]}").json()["state"] == "cancelled"
    assert refusal_of(remembering.ask("delete", f"replays/{ids[0]}")) == (409, "CONFLICT")
    assert [row["id"] for row in remembering.json("replays", state="cancelled")["replays"]] == ids[:1]


def test_pause_resume_and_seek(remembering: Served, sent: list[int]) -> None:
    job = submit(remembering)
    assert remembering.ask("post", f"replays/{job}/pause").json()["state"] == "paused"
    assert refusal_of(remembering.ask("post", f"replays/{job}/pause")) == (409, "CONFLICT")
    moved = remembering.ask("post", f"replays/{job}/seek", data={"to": "2026-11-20T02:15:45Z"}).json()
    assert (moved["state"], moved["at"]) == ("paused", "2026-11-20T02:15:45Z")
    assert sent == [job]
    assert remembering.ask("post", f"replays/{job}/resume").json()["state"] == "queued"
    assert sent == [job, job]
    assert ReplayJob.objects.get(pk=job).seek_ns == START_NS + 45_000_000_000
    assert refusal_of(remembering.ask("post", f"replays/{job}/seek", data={"to": END})) == (422, "BAD_PARAM")


def test_a_replay_that_begins_paused_waits_for_its_followers(remembering: Served, sent: list[int]) -> None:
    response = remembering.ask("post", "replays", "alice", {"start": START, "end": END, "feed": "STO", "paused": True})
    job = response.json()
    assert (response.status_code, job["state"], sent) == (201, "paused", [])
    assert jobs.queued() == []
    assert remembering.ask("post", f"replays/{job['id']}/resume").json()["state"] == "queued"
    assert sent == [job["id"]]


def test_another_subscribers_replay_does_not_exist(remembering: Served) -> None:
    job = submit(remembering)
    assert remembering.refusal(f"replays/{job}", "bob") == (404, "NOT_FOUND")
    for method, path in (("delete", ""), ("post", "/pause"), ("post", "/resume")):
        assert refusal_of(remembering.ask(method, f"replays/{job}{path}", "bob")) == (404, "NOT_FOUND")
    assert remembering.json("replays", "bob")["replays"] == []
    assert remembering.refusal("replays", None) == (401, "AUTH_REQUIRED")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"end": START}, (422, "BAD_PARAM")),
        ({"end": "2199-01-01T00:00:00Z"}, (422, "BAD_PARAM")),
        ({"speed": -1}, (422, "BAD_PARAM")),
        ({"feed": "NOPE"}, (422, "BAD_PARAM")),
        ({"feed": None}, (422, "BAD_PARAM")),
        ({"feed": None, "symbols": ["NOPE"]}, (422, "BAD_PARAM")),
        ({"start": "2026-11-19T22:15:00Z"}, (409, "REPLAY_AGED_OUT")),
    ],
)
def test_what_cannot_be_replayed(remembering: Served, changes: dict[str, object], expected: tuple[int, str]) -> None:
    response = remembering.ask("post", "replays", data={"start": START, "end": END, "feed": "STO"} | changes)
    assert refusal_of(response) == expected


def test_a_subscriber_has_so_many_at_a_time(remembering: Served) -> None:
    for _ in range(3):
        submit(remembering, feed=None, symbols=["FPT"])
    response = remembering.ask("post", "replays", data={"start": START, "end": END, "feed": "STO"})
    assert refusal_of(response) == (429, "SESSION_LIMIT")
    assert submit(remembering, "bob") > 0


def test_bad_json(remembering: Served) -> None:
    assert refusal_of(remembering.ask("post", "replays", data="{")) == (400, "BAD_JSON")
