"""The browser fixture drives the chromium that Debian installs, without a download."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page


@pytest.mark.browser
def test_the_browser_runs_scripts(page: Page) -> None:
    page.set_content("<title>before</title><script>document.title = 'after ' + (6 * 7)</script>")
    assert page.title() == "after 42"
