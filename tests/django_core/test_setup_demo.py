"""The demo: the same login and key at every start, and rows an operator edited stay."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth import authenticate as login
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from feeds.checks import feeds_can_be_received
from feeds.feed_rows import load_feeds
from feeds.models import Instrument, Line
from feeds.simulator.exchange import Exchange
from subscriptions import demo
from subscriptions.authentication import AuthError, anonymous_grant, authenticate
from subscriptions.entitlements import effective_access
from subscriptions.grants import nanoseconds
from subscriptions.models import ApiKey, Entitlement

pytestmark = pytest.mark.django_db


@pytest.fixture
def data_dir(tmp_path: Path, settings: Settings) -> Path:
    settings.MDDS = replace(settings.MDDS, data_dir=tmp_path, base_port=8000)
    return tmp_path


def run(*options: str) -> tuple[str, str]:
    out = StringIO()
    call_command("setup_demo", *options, stdout=out)
    login_line, key_line = out.getvalue().splitlines()
    assert login_line.startswith("login: demo ")
    assert key_line.startswith("key: mdds_live_")
    return login_line.removeprefix("login: demo "), key_line.removeprefix("key: ")


def test_it_leads_to_a_login_a_key_and_every_channel(data_dir: Path) -> None:
    password, key = run()
    user = login(username="demo", password=password)
    assert user is not None
    assert user.is_superuser
    grant = authenticate(key, "127.0.0.1")
    now = nanoseconds(timezone.now())
    for channel, symbol, market in (("depth", "FPT", "STO"), ("raw", "*", None), ("index", "VNINDEX", None)):
        assert effective_access(grant, channel, symbol=symbol, market=market, at_ns=now).allowed
    public = anonymous_grant()
    assert effective_access(public, "index", symbol="VNINDEX", market=None, at_ns=now).allowed
    assert not effective_access(public, "trade", symbol="FPT", market="STO", at_ns=now).allowed
    assert feeds_can_be_received(None, databases=["default"]) == []


def test_a_second_start_prints_the_same_and_adds_nothing(data_dir: Path) -> None:
    first = run()
    assert run() == first
    assert (User.objects.count(), ApiKey.objects.count(), Entitlement.objects.count(), Line.objects.count()) == (
        1,
        1,
        1,
        8,
    )
    path = data_dir / "demo.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first[1] not in str(ApiKey.objects.values())


def test_an_emptied_database_gets_the_same_key_again(data_dir: Path) -> None:
    first = run()
    ApiKey.objects.all().delete()
    User.objects.all().delete()
    assert run() == first
    assert authenticate(first[1], None).subscriber == "demo"


def test_a_new_site_secret_keeps_the_key_working(data_dir: Path, settings: Settings) -> None:
    first = run()
    settings.SECRET_KEY = "n" * 64
    with pytest.raises(AuthError):
        authenticate(first[1], None)
    assert run() == first
    assert authenticate(first[1], None).subscriber == "demo"


def test_a_revoked_key_stays_revoked_and_a_changed_password_unknown(data_dir: Path) -> None:
    _, key = run()
    row = ApiKey.objects.get()
    row.revoked_at = timezone.now()
    row.save()
    user = User.objects.get()
    user.set_password("another")
    user.save()
    password, other = run()
    assert password == "(changed)"
    assert other != key
    assert run() == (password, other)
    with pytest.raises(AuthError, match="KEY_REVOKED"):
        authenticate(key, None)


def test_lines_derive_from_the_base_port_until_edited(data_dir: Path, settings: Settings) -> None:
    def lines() -> list[tuple[str, int]]:
        return [(line.group, line.port) for feed in load_feeds(["STO", "DVX"]) for line in feed.lines]

    run()
    derived = [("239.255.31.64", 8100), ("239.254.31.64", 8101), ("239.249.31.64", 8106), ("239.248.31.64", 8107)]
    assert lines() == derived
    Line.objects.filter(feed__name="STO", name="A").update(group="239.9.9.9")
    run()
    assert lines()[0] == ("239.9.9.9", 8100)
    run("--unicast")
    assert lines() == [("127.0.0.1", port) for port in (8100, 8101, 8106, 8107)]
    settings.MDDS = replace(settings.MDDS, base_port=9000)
    run()
    assert lines()[0] == ("239.255.35.40", 9100)


def test_a_broken_demo_file_is_named(data_dir: Path) -> None:
    (data_dir / "demo.json").write_text("{")
    with pytest.raises(CommandError, match=r"demo\.json is not JSON"):
        run()
    (data_dir / "demo.json").write_text(json.dumps({"password": "", "key": "nonsense"}))
    password, key = run()
    assert password
    assert authenticate(key, None).subscriber == "demo"


def test_it_knows_the_instruments_that_the_simulated_exchange_defines(data_dir: Path) -> None:
    run()
    exchange = Exchange({feed: markets[:1] for feed, markets in demo.FEEDS.items()})
    exchange.set_time(1_795_140_900_000_000_000, day_time_s=36_000)
    defined = set()
    while len(defined) < 154:
        for message in exchange.take(500):
            if message.msg_type == "d":
                fields = dict(field.split("=", 1) for field in message.data.decode().split("\x01")[:-1])
                defined.add((message.isin, fields["30624"], message.market))
    assert defined == set(Instrument.objects.values_list("isin", "ticker", "market"))


def test_instruments_that_were_learnt_or_edited_stay(data_dir: Path) -> None:
    run("--no-instruments")
    assert not Instrument.objects.exists()
    Instrument.objects.create(isin="VN000000FPT1", ticker="FPT", market="STO", name="as it was learnt")
    Instrument.objects.create(isin="VN000000XXX5", ticker="VNM", market="STO")
    run()
    rows = dict(Instrument.objects.filter(ticker__in=["FPT", "VNM", "SSI"]).values_list("ticker", "name"))
    assert rows == {"FPT": "as it was learnt", "VNM": "", "SSI": "SSI Securities"}
    count = Instrument.objects.count()
    run()
    assert Instrument.objects.count() == count
