"""The page that says whether a key may have something, at a time, and by which rule."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.django_core.cast import Cast

pytestmark = pytest.mark.django_db

URL = "/portal/access/"


@pytest.fixture
def rights() -> Cast:
    return Cast()


def ask(client: Client, rights: Cast, **changes: str) -> str:
    asked = {"key": rights.alice_key.public_id, "channel": "trade", "symbol": "board:STO.G1", "at": "2026-11-20T10:00"}
    page = client.get(URL, asked | changes).content.decode()
    return " ".join(page.split('id="answer"', 1)[1].split("</section>")[0].split())


def test_it_names_the_rule_that_allows_or_refuses(admin_client: Client, rights: Cast) -> None:
    allowed = ask(admin_client, rights)
    assert "Allowed" in allowed
    assert f"product rt by contract A-1, entitlement {rights.alice_right.pk}" in allowed
    assert "Refused: NOT_ENTITLED" in ask(admin_client, rights, channel="raw")
    assert "Refused: CONTRACT_ENDED" in ask(admin_client, rights, at="2025-12-31T23:59")  # the day before it began
    assert "Refused: NOT_ENTITLED" in ask(admin_client, rights, key="")
    public = ask(admin_client, rights, key="", channel="index", symbol="VNINDEX")
    assert "public product pub" in public


def test_the_contracts_day_is_the_trading_days(admin_client: Client, rights: Cast) -> None:
    assert "Allowed" in ask(admin_client, rights, at="2026-01-01T00:00")  # 17:00 UTC of the day before


def test_it_is_for_who_may_see_the_portal(client: Client, rights: Cast) -> None:
    assert client.get(URL).status_code == 302
    client.force_login(User.objects.create_user("nobody"))
    assert client.get(URL).status_code == 403
