"""Who may see and who may act: every address of the portal against every role."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from replay.models import ReplayJob

PAGES = (
    "/portal/",
    "/portal/first-steps/",
    "/portal/replay/",
    "/portal/replay/{job}/",
    "/portal/replay/{job}/progress/",
    "/portal/replay/estimate/",
    "/portal/export/replays.csv",
    "/portal/export/sessions.csv",
    "/portal/export/workers.csv",
)
ACTS = ("/portal/replay/", "/portal/replay/{job}/cancel/")


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize(
    ("name", "status"), [("alice", 200), ("bob", 200), ("eve", 200), ("olga", 200), ("charlie", 403)]
)
def test_who_sees_a_page(job: ReplayJob, log_in: Callable[[str], Client], address: str, name: str, status: int) -> None:
    assert log_in(name).get(address.format(job=job.pk)).status_code == status


@pytest.mark.parametrize("address", PAGES)
def test_who_is_not_logged_in_is_asked_to(job: ReplayJob, client: Client, address: str) -> None:
    answer = client.get(address.format(job=job.pk))
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/portal/login/?next=/portal/")


@pytest.mark.parametrize("address", ACTS)
@pytest.mark.parametrize(("name", "may"), [("alice", True), ("bob", False), ("eve", False), ("charlie", False)])
def test_who_acts(job: ReplayJob, log_in: Callable[[str], Client], address: str, name: str, may: bool) -> None:
    answer = log_in(name).post(address.format(job=job.pk), {})
    assert (answer.status_code in (302, 422)) is may
    assert (answer.status_code == 403) is not may
    job.refresh_from_db()
    assert job.cancel_requested is (may and "cancel" in address)


def test_a_deactivated_account_sees_nothing(job: ReplayJob, log_in: Callable[[str], Client]) -> None:
    client = log_in("alice")
    job.submitted_by.is_active = False
    job.submitted_by.save()
    assert client.get("/portal/").status_code == 302


def test_a_forged_form_is_refused(job: ReplayJob, log_in: Callable[[str], Client]) -> None:
    client = log_in("alice")
    client.handler.enforce_csrf_checks = True
    assert client.post(f"/portal/replay/{job.pk}/cancel/").status_code == 403
    job.refresh_from_db()
    assert not job.cancel_requested


@pytest.mark.parametrize(
    "address", ["/portal/replay/999999/", "/portal/replay/999999/progress/", "/portal/export/x.csv"]
)
def test_what_is_not_there_is_not_found(job: ReplayJob, log_in: Callable[[str], Client], address: str) -> None:
    answer = log_in("alice").get(address)
    assert answer.status_code == 404
    assert "There is nothing at this address" in answer.content.decode()


def test_a_cancel_by_a_link_is_refused(job: ReplayJob, log_in: Callable[[str], Client]) -> None:
    assert log_in("alice").get(f"/portal/replay/{job.pk}/cancel/").status_code == 405


def test_the_login_page_leads_on_and_refuses_a_foreign_next(job: ReplayJob, client: Client) -> None:
    form = {"username": "bob", "password": "correct horse battery"}
    assert client.post("/portal/login/", form | {"password": "wrong"}).status_code == 200
    assert client.post("/portal/login/?next=//evil.example/", form).headers["Location"] == "/portal/"
