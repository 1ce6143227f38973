"""Who fails to log in too often waits, in the portal and in the admin, with the right password as with a wrong one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from portal import login_throttle
from portal.login_forms import TOO_MANY
from portal.login_throttle import ADDRESS_FAILURES_MAX, PAIR_FAILURES_MAX, WINDOW_S
from subscriptions import audit
from subscriptions.models import AuditEntry
from tests.portal.conftest import PASSWORD

HERE, THERE = "203.0.113.7", "198.51.100.9"
PORTAL, ADMIN = "portal:login", "admin:login"


@pytest.fixture(autouse=True)
def _nobody_failed() -> Iterator[None]:
    cache.clear()
    login_throttle._own.clear()
    yield
    cache.clear()
    login_throttle._own.clear()


def attempt(name: str, password: str, *, at: str = PORTAL, address: str = HERE) -> tuple[int, bool]:
    """The status, and whether the page says that one has to wait."""
    page = Client().post(reverse(at), {"username": name, "password": password}, REMOTE_ADDR=address)
    return page.status_code, TOO_MANY in page.content.decode()


def test_the_right_password_does_not_help_who_has_to_wait(cast: dict[str, User]) -> None:
    for _ in range(PAIR_FAILURES_MAX - 1):
        assert attempt("olga", "wrong") == (200, False)
    assert attempt("olga", "wrong") == (429, True)
    for name in ("olga", "OLGA ", "Olga"):
        assert attempt(name, PASSWORD) == (429, True)
    assert attempt("olga", PASSWORD, at=ADMIN) == (200, True)
    assert attempt("olga", PASSWORD, address=THERE) == (302, False)
    assert attempt("bob", PASSWORD) == (302, False)
    page = Client().post(reverse(PORTAL), {"username": "olga", "password": PASSWORD}, REMOTE_ADDR=HERE)
    assert page.headers["Retry-After"] == str(WINDOW_S)
    login_throttle.forgive("olga", HERE)
    assert attempt("olga", PASSWORD) == (302, False)


def test_the_admins_login_counts_as_well(cast: dict[str, User]) -> None:
    for number in range(PAIR_FAILURES_MAX):
        assert attempt("olga", "wrong", at=ADMIN) == (200, number == PAIR_FAILURES_MAX - 1)
    assert attempt("olga", PASSWORD) == (429, True)


def test_a_login_forgives_what_was_mistyped_before_it(cast: dict[str, User]) -> None:
    for _ in range(3):
        for _ in range(PAIR_FAILURES_MAX - 1):
            assert attempt("bob", "wrong") == (200, False)
        assert attempt("bob", PASSWORD) == (302, False)


def test_who_tries_many_accounts_waits_with_all_of_them_though_one_is_his_own(cast: dict[str, User]) -> None:
    for number in range(ADDRESS_FAILURES_MAX - 1):
        assert attempt(f"account {number}", "Spring2026") == (200, False)
    assert attempt("charlie", PASSWORD) == (302, False)
    assert attempt("account x", "Spring2026") == (429, True)
    assert attempt("olga", PASSWORD) == (429, True)
    assert attempt("olga", PASSWORD, address=THERE) == (302, False)


def test_an_account_that_is_guessed_from_everywhere_waits_everywhere(
    cast: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_throttle, "ACCOUNT_FAILURES_MAX", 20)
    for number in range(19):
        assert attempt("olga", "wrong", address=f"203.0.113.{number}") == (200, False)
    assert attempt("olga", "wrong", address="203.0.113.99") == (429, True)
    assert attempt("olga", PASSWORD, address=THERE) == (429, True)


def test_the_wait_ends(cast: dict[str, User], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr("django.core.cache.backends.locmem.time.time", lambda: now[0])
    for _ in range(PAIR_FAILURES_MAX):
        attempt("olga", "wrong")
    now[0] += WINDOW_S - 1
    assert attempt("olga", PASSWORD) == (429, True)
    now[0] += 2
    assert attempt("olga", PASSWORD) == (302, False)


def test_the_audit_trail_names_it_once(cast: dict[str, User]) -> None:
    for _ in range(PAIR_FAILURES_MAX + 3):
        attempt("olga", "wrong")
    rows = AuditEntry.objects.filter(what="portal.login.throttled")
    assert [(row.subject, row.who, row.address) for row in rows] == [("olga", "anonymous", HERE)]
    assert "wrong" not in rows[0].reason
    audit.verify()


def test_each_process_counts_for_itself_while_the_cache_is_away(
    cast: dict[str, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def __getattr__(self, name: str) -> object:
            raise ConnectionError("Redis is away")

    monkeypatch.setattr(login_throttle, "cache", Away())
    assert attempt("bob", PASSWORD) == (302, False)
    for number in range(PAIR_FAILURES_MAX):
        assert attempt("olga", "wrong")[0] == (200 if number < PAIR_FAILURES_MAX - 1 else 429)
    assert attempt("olga", PASSWORD) == (429, True)
    monkeypatch.undo()
    assert attempt("olga", PASSWORD) == (429, True)
