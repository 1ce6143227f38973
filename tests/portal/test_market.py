"""The market page in a real browser: quotes, ladder and trades over the public stream of a whole system."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect

from testbed.ports import free_base_port
from testbed.system import System
from tests.end_to_end.conftest import line_options

pytestmark = pytest.mark.browser
STARTED_MS = 60_000


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Embedded, with the exchange that it brings."""
    one = System(tmp_path_factory.mktemp("market"), free_base_port())
    try:
        one.prepare(*line_options(one))
        one.start("run_all", "run_all", "--simulator")
        yield one
    finally:
        one.close()


@pytest.fixture
def market(system: System, page: Page) -> Iterator[Page]:
    """Logged in and on the page; nothing may have failed in its scripts."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    user, password = system.login
    for _ in range(60):  # until it listens
        try:
            page.goto(f"{system.portal_url}market/")
            break
        except PlaywrightError:
            page.wait_for_timeout(500)
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#connection")).to_have_text("connected", timeout=STARTED_MS)
    expect(page.locator("#board tr").nth(5)).to_be_visible(timeout=STARTED_MS)
    yield page
    assert errors == []


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_quotes_ladder_and_trades_move(market: Page) -> None:
    quoted = market.locator("#board tr", has=market.locator('td[data-of="bp"]:not(:text-is("–"))')).first
    expect(quoted).to_be_visible(timeout=STARTED_MS)
    symbol = quoted.get_attribute("data-symbol") or ""
    market.locator(f'#board tr[data-symbol="{symbol}"]').get_by_role("button").click()  # another may be the first now
    expect(market.locator("#chosen")).to_have_text(symbol)
    expect(market).to_have_url(re.compile(f"s={symbol}$"))
    expect(market.locator("#ladder tr.bid").first).to_be_visible(timeout=STARTED_MS)
    note = market.locator("#ladder-note").inner_text()
    expect(market.locator("#ladder-note")).not_to_have_text(note, timeout=STARTED_MS)
    expect(market.locator("#tape tr").first).to_be_visible(timeout=STARTED_MS)
    offers = [number(one) for one in market.locator("#ladder tr.offer .price").all_inner_texts()]
    bids = [number(one) for one in market.locator("#ladder tr.bid .price").all_inner_texts()]
    assert offers == sorted(offers, reverse=True)
    assert bids == sorted(bids, reverse=True)
    if folder := os.environ.get("MARKET_SHOTS"):
        market.set_viewport_size({"width": 1440, "height": 900})
        market.screenshot(path=str(Path(folder) / "market-light.png"))
        market.get_by_role("button", name="Switch between light and dark").click()
        market.screenshot(path=str(Path(folder) / "market-dark.png"))


def test_a_symbol_is_searched_and_chosen(market: Page) -> None:
    first = market.locator("#board tr").nth(3).get_attribute("data-symbol") or ""
    market.keyboard.press("/")
    market.keyboard.type(first.lower())
    expect(market.locator(f'#board tr[data-symbol="{first}"]')).to_be_visible()
    expect(market.locator(f'#board tr:not([data-symbol*="{first}"])')).to_have_count(0)  # once the board is drawn anew
    market.keyboard.press("Enter")
    expect(market.locator("#chosen")).to_have_text(first)


def test_a_cut_connection_says_so_and_resumes(market: Page) -> None:
    """The page asks for what it missed of the trades; the banner stands while it is away."""
    market.locator("#board tr").first.get_by_role("button").click()
    expect(market.locator("#ladder-note")).to_contain_text("to record", timeout=STARTED_MS)
    sent: list[str] = []
    market.on("websocket", lambda socket: socket.on("framesent", lambda data: sent.append(str(data))))
    market.route("**/market/token/", lambda route: route.abort())
    market.evaluate("WebSocket.prototype.close.call(window.marketStream.socket)")
    expect(market.get_by_role("alert")).to_be_visible(timeout=20_000)
    market.unroute("**/market/token/")
    expect(market.locator("#connection")).to_have_text("connected", timeout=40_000)
    expect(market.get_by_role("alert")).to_be_hidden()
    market.wait_for_timeout(200)
    asked = [json.loads(text) for text in sent if '"book"' in text]
    assert asked, sent
    assert "resume" in asked[-1]
