"""The portal in a real browser: live numbers, the stale banner, themes, search, a replay from form to cancel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from testbed.ports import free_base_port
from tests.portal.site import PASSWORD, ROOT, USER, PortalSite
from tests.replay.doubles import both_lines, write_journal

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, object]) -> dict[str, object]:
    """A quiet chromium: it asks nothing of any network."""
    quiet = [
        "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync",
    ]  # fmt: skip
    given = browser_type_launch_args.get("args", [])
    assert isinstance(given, list)
    return {**browser_type_launch_args, "args": [*given, *quiet]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalSite]:
    folder = tmp_path_factory.mktemp("portal")
    one = PortalSite(folder, base_port=free_base_port())
    one.prepare()
    write_journal(folder / "journal" / "STO", both_lines(range(1, 1001)))
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def _beating(site: PortalSite) -> Iterator[None]:
    """Workers that report each second."""
    environment = {**os.environ, "MDDS_DATA": str(site.folder), "DJANGO_SETTINGS_MODULE": "mdds_site.settings"}
    process = subprocess.Popen([sys.executable, "-m", "tests.portal.heartbeats"], cwd=ROOT, env=environment)
    yield
    process.kill()
    process.wait(10)


@pytest.fixture(scope="module")
def session() -> list[Any]:
    """The cookies of the login, once somebody has logged in: the password's hash costs a second each time."""
    return []


@pytest.fixture
def portal(site: PortalSite, page: Page, session: list[Any]) -> Iterator[Page]:
    """A page that is logged in; at the end nothing may have been written to its console as an error."""
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "WebSocket connection" not in message.text and "422" not in message.text:
            errors.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.context.add_cookies(session)
    page.goto(f"{site.url}/")
    if not session:
        log_in(page, site)
        session += page.context.cookies()
    expect(page).to_have_url(f"{site.url}/portal/")
    yield page
    assert errors == []


def log_in(page: Page, site: PortalSite) -> None:
    expect(page).to_have_url(f"{site.url}/portal/login/?next=/portal/")
    page.get_by_label("User name").fill(USER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{site.url}/portal/")


@pytest.mark.usefixtures("_beating")
def test_the_numbers_move_without_a_reload(portal: Page) -> None:
    portal.evaluate("window.notReloaded = true")
    headline = portal.locator("#box-capture dl dd").first
    before = headline.inner_text()
    expect(headline).not_to_have_text(before, timeout=10_000)
    expect(portal.locator("#box-parser .headline")).to_contain_text("/s")
    expect(portal.locator("#sessions")).to_contain_text("acme")
    expect(portal.locator(".uplot canvas").first).to_be_visible()
    assert portal.evaluate("window.notReloaded") is True


@pytest.mark.usefixtures("_beating")
def test_open_details_stay_open_while_the_numbers_move(portal: Page) -> None:
    portal.locator("#workers details summary").first.click()
    stats = portal.locator("#workers details[open] .stats").first
    before = stats.inner_text()
    expect(stats).not_to_have_text(before, timeout=10_000)
    expect(portal.locator("#workers details[open]")).to_have_count(1)


@pytest.mark.usefixtures("_beating")
def test_slash_filters_the_tables_and_the_url_keeps_it(portal: Page) -> None:
    portal.keyboard.press("/")
    expect(portal.locator("#search")).to_be_focused()
    portal.keyboard.type("gateway")
    rows = portal.locator("#workers tbody tr:visible")
    expect(rows).to_have_count(1)
    expect(portal).to_have_url(re.compile(r"\?q=gateway$"))
    portal.reload()
    expect(rows).to_have_count(1)
    portal.locator("#search").press("Escape")
    expect(rows).to_have_count(4)


def test_the_theme_is_switched_and_remembered(portal: Page) -> None:
    root = portal.locator("html")
    expect(root).to_have_attribute("data-theme", "light")
    portal.get_by_role("button", name="Switch between light and dark").click()
    expect(root).to_have_attribute("data-theme", "dark")
    portal.reload()
    expect(root).to_have_attribute("data-theme", "dark")


def test_local_time_on_hover(portal: Page) -> None:
    moment = portal.locator(".summary time")
    moment.hover()
    expect(moment).to_have_attribute("title", re.compile("^local time: "))


def test_a_replay_from_the_form_to_its_cancel(portal: Page, site: PortalSite) -> None:
    portal.get_by_role("link", name="Replay", exact=True).click()
    portal.get_by_label("From").fill("2026-11-20 02:15:02")
    portal.get_by_label("To UTC").fill("2026-11-20 02:15:01")
    expect(portal.locator("#estimate")).to_contain_text("To: must be after from: found 2026-11-20 02:15:01 UTC")
    portal.get_by_role("button", name="Start replay").click()
    expect(portal.locator(".field.wrong")).to_contain_text("To: must be after from")
    portal.get_by_label("To UTC").fill("2026-11-20 02:15:09")
    expect(portal.locator("#estimate")).to_contain_text("700")
    portal.get_by_role("button", name="Start replay").click()
    expect(portal.locator("#progress")).to_have_attribute("data-state", "queued")
    expect(portal.locator(".command")).to_contain_text("--origin replay:")
    site.shell(
        "from django.utils import timezone as t; from replay import jobs; from replay.models import ReplayJob as J; "
        "from replay.checkpoints import Progress as P; c = jobs.claim(J.objects.get().pk, worker='w', now=t.now()); "
        "jobs.checkpoint(c, P(None, 1795140905500000000, 350), now=t.now())"
    )
    expect(portal.locator("#progress")).to_have_attribute("data-state", "running", timeout=10_000)
    expect(portal.locator("#progress")).to_contain_text("50.0 %")
    portal.get_by_role("button", name="Cancel replay").click()
    expect(portal.locator("#progress")).to_have_attribute("data-state", "cancelling")
    portal.get_by_role("link", name="Replay", exact=True).last.click()
    expect(portal.locator("#jobs tbody tr")).to_have_count(1)


def test_first_steps_copies_a_command(portal: Page) -> None:
    portal.context.grant_permissions(["clipboard-read", "clipboard-write"])
    portal.get_by_role("link", name="First steps").click()
    portal.get_by_role("button", name="Copy the command").first.click()
    expect(portal.get_by_role("button", name="Copy the command").first).to_have_text("Copied")
    assert portal.evaluate("navigator.clipboard.readText()") == "bin/run"


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_no_page_scrolls_sideways(portal: Page, site: PortalSite, width: int, tmp_path: Path) -> None:
    portal.set_viewport_size({"width": width, "height": 900})
    for address in ("/portal/", "/portal/replay/", "/portal/first-steps/"):
        portal.goto(site.url + address)
        wide = portal.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{address} is {wide} px wider than a window of {width} px"


def test_the_page_says_when_it_is_stale_and_comes_back(portal: Page, site: PortalSite) -> None:
    banner = portal.get_by_role("alert")
    expect(banner).to_be_hidden()
    site.stop()
    expect(banner).to_be_visible(timeout=15_000)
    expect(banner).to_contain_text("Live updates stopped")
    site.start()
    expect(banner).to_be_hidden(timeout=40_000)
