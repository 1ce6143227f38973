"""Operators' stories in a real browser, on a running system with the simulated exchange."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from testbed.ports import free_base_port
from testbed.system import System
from tests.end_to_end.conftest import WIDE_OUTBOX, prepare, wait_until_it_streams
from tests.end_to_end.follower import Follower, Record
from tests.end_to_end.truth import order_faults

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RATE = 300
FEED = "STO"
RANGE_S = 10
SPEED = 2
SAVED = re.compile("was added successfully")
# What a replay numbers anew, and what names it.
OF_THE_ORIGIN = ("n", "ep", "job")
# A replay knows nothing of what came before its range, and these hold the last known figures of several messages.
OF_THE_DAY = ("o", "h", "l", "c", "vol", "val", "ref", "ceil", "floor", "close", "close_type")


@dataclass
class Running:
    system: System
    live: Follower
    """Everything of the exchange, from its first message on."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    system = System(tmp_path_factory.mktemp("operators") / "data", free_base_port(), extra=WIDE_OUTBOX)
    try:
        prepare(system)
        system.start("run_all", "run_all", "--no-simulator")
        wait_until_it_streams(system)
        with Follower(system) as live:
            system.start("exchange", "run_simulator", "--feed", FEED, "--rate", str(RATE), "--quiet")
            live.wait_for(lambda: live.count > RATE, timeout_s=30)
            yield Running(system, live)
    finally:
        system.close()


@pytest.fixture
def portal(running: Running, page: Page) -> Iterator[Page]:
    """A page on which the operator is logged in; at the end nothing may have been written to its console as error."""
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(f"{message.text} ({message.location.get('url')})")

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(running.system.portal_url)
    user, password = running.system.login
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(running.system.portal_url)
    yield page
    assert errors == []


def test_a_new_subscriber_gets_a_key_and_its_session_is_seen(portal: Page, running: Running) -> None:
    admin = running.system.portal_url.replace("/portal/", "/admin/subscriptions/")
    portal.goto(f"{admin}subscriber/add/")
    portal.locator("#id_code").fill("acme")
    portal.locator("#id_name").fill("Acme Securities")
    save(portal)
    portal.goto(f"{admin}contract/add/")
    choose(portal, "#id_subscriber", "acme")
    portal.locator("#id_number").fill("ACME-2026")
    portal.locator("#id_starts_on").fill(f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%d}")
    save(portal)
    portal.goto(f"{admin}entitlement/add/")
    choose(portal, "#id_contract", "ACME-2026")
    choose(portal, "#id_product", "krx-realtime")
    portal.locator("#id_symbols").fill("FPT, VNM")
    save(portal)
    portal.goto(f"{admin}apikey/add/")
    choose(portal, "#id_subscriber", "acme")
    portal.locator("#id_name").fill("the trading desk")
    portal.locator("[name=_save]").first.click()
    key = portal.locator("#api-key-secret").inner_text()
    assert re.fullmatch(r"mdds_live_[0-9A-Za-z]{8}_\S{49}", key)
    portal.goto(f"{admin}apikey/")
    expect(portal.get_by_text("the trading desk")).to_be_visible()
    assert key not in portal.content(), "a key is shown once"

    with Follower(running.system, channels=("depth", "trade"), symbols=("FPT",), key=key) as client:
        client.wait_for(lambda: client.count > 5, timeout_s=20)
        portal.goto(running.system.portal_url)
        session = portal.locator("#sessions tbody tr").filter(has_text="acme")
        expect(session).to_contain_text("depth FPT", timeout=10_000)
        expect(session).to_contain_text("trade FPT")
        expect(session).to_contain_text(key.split("_")[2])
        sent = session.locator("td").nth(6)
        before = sent.inner_text()
        expect(sent).not_to_have_text(before, timeout=10_000)
        assert {record["s"] for record in client.records()} == {"FPT"}
    expect(portal.locator("#sessions")).not_to_contain_text("acme", timeout=10_000)


def test_a_replay_of_the_last_moments_is_received_again_and_live_goes_on(portal: Page, running: Running) -> None:
    live = running.live
    began = min(int(record["rx"]) for record in live.records())
    live.wait_for(lambda: time.time_ns() - began > (RANGE_S + 5) * 1_000_000_000, timeout_s=40)
    to_at = datetime.now(UTC).replace(microsecond=0)
    from_at = to_at - timedelta(seconds=RANGE_S)
    with Follower(running.system, origin="replay:1", key=operators_token(running.system)) as replay:
        portal.get_by_role("link", name="Replay", exact=True).click()
        portal.get_by_label("Feed").select_option(FEED)
        portal.get_by_label("From").fill(f"{from_at:%Y-%m-%d %H:%M:%S}")
        portal.get_by_label("To UTC").fill(f"{to_at:%Y-%m-%d %H:%M:%S}")
        portal.get_by_label("Speed").fill(str(SPEED))
        expect(portal.locator("#estimate")).to_contain_text("Messages")
        portal.get_by_role("button", name="Start replay").click()
        expect(portal).to_have_url(re.compile(r"/portal/replay/1/$"))
        progress = portal.locator("#progress")
        expect(progress).to_have_attribute("data-state", "running", timeout=15_000)
        percent = progress.locator(".progress b")
        expect(percent).not_to_have_text("0.0 %", timeout=10_000)
        during = live.count
        expect(progress).to_have_attribute("data-state", "completed", timeout=30_000)
        expect(percent).to_have_text("100.0 %")
        assert live.count > during, "live goes on while a replay runs"
        replay.wait_until_quiet(idle_s=1.0, timeout_s=20)
        again = [record for record in replay.records() if record["mt"] != "replay"]
    assert_same_records(live.records(), again, between=(from_at, to_at))
    assert {record["job"] for record in again} == {"replay:1"}
    assert order_faults(again) == []
    records = live.records()
    assert not any("job" in record for record in records)
    assert order_faults(records) == []
    assert len(live.connections) == 1
    assert live.notices == []


def operators_token(system: System) -> str:
    """Of one who may watch every replay, also before it is made."""
    issue = "print(issue_token(of_user(str(User.objects.get(is_superuser=True).pk)), at=timezone.now()))"
    imports = (
        "from django.contrib.auth.models import User; from django.utils import timezone; "
        "from subscriptions.authentication import issue_token; from subscriptions.operator_grants import of_user"
    )
    return system.manage("shell", "--no-imports", "-c", f"{imports}; {issue}").split()[-1]


def assert_same_records(live: list[Record], again: list[Record], *, between: tuple[datetime, datetime]) -> None:
    from_ns, to_ns = (int(at.timestamp()) * 1_000_000_000 for at in between)
    # A feed's states follow the clock (in trading hours a line that is silent is down); a replay has none.
    of_live = ("gap", "feed")
    expected = Counter(comparable(r) for r in live if from_ns <= int(r["rx"]) < to_ns and r["mt"] not in of_live)
    assert sum(expected.values()) > RATE * RANGE_S // 2
    received = Counter(comparable(record) for record in again)
    assert list((expected - received).items())[:3] == []
    assert list((received - expected).items())[:3] == []


def comparable(record: Record) -> str:
    """A record without what a replay numbers or cannot know."""
    left_out = OF_THE_ORIGIN + (OF_THE_DAY if record["ch"] == "stats" else ())
    kept: dict[str, Any] = {name: value for name, value in record.items() if name not in left_out}
    return repr(kept)


def save(page: Page) -> None:
    page.locator("[name=_save]").first.click()
    expect(page.get_by_text(SAVED).first).to_be_visible()


def choose(page: Page, field: str, text: str) -> None:
    """The option of a select that contains `text`."""
    option = page.locator(f"{field} option").filter(has_text=text).first
    value = option.get_attribute("value")
    assert value
    page.locator(field).select_option(value)
