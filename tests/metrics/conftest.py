"""One embedded system that has carried a few hundred messages, with a loss on line A, and is quiet now."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from testbed.ports import free_base_port
from testbed.system import ROOT, System
from tests.metrics.scraping import Scrape, scrape

QUIET_S_MAX = 30.0
FEEDS = ("STO", "STX", "UPX", "DVX")
# In trading hours a silent feed is spoken of, and the system is not quiet.
HOLIDAY = (
    "from datetime import timedelta; from django.utils import timezone; from feeds.models import Exchange, SpecialDay;"
    "SpecialDay.objects.bulk_create("
    "SpecialDay(exchange=exchange, date=timezone.now().date() + timedelta(days=days), name='test')"
    " for exchange in Exchange.objects.all() for days in (-1, 0, 1))"
)


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(tmp_path_factory.mktemp("metrics") / "data", free_base_port())
    check = [sys.executable, str(ROOT / "bin" / "check_multicast.py"), str(system.base_port)]
    unicast = subprocess.run(check, check=False).returncode != 0
    try:
        system.prepare(*(["--unicast"] if unicast else []))
        system.manage("shell", "-c", HOLIDAY)
        system.start("run_all", "run_all", "--no-simulator")
        _wait_until_it_listens(system)
        traffic = ["--symbols", "3", "--count", "600", "--rate", "600", "--loss", "A:0.05", "--unrouted", "--quiet"]
        system.manage("run_simulator", *traffic)
        yield system
    finally:
        system.close()


@pytest.fixture(scope="package")
def quiet(system: System) -> tuple[Scrape, dict[str, dict[str, object]]]:
    """What the metrics port says, and what the workers' heartbeats say of the same moment."""
    before, deadline = scrape(system), time.monotonic() + QUIET_S_MAX
    while time.monotonic() < deadline:
        time.sleep(1.2)  # more than a second between two equal scrapes: the heartbeats have caught up with them
        found = scrape(system)
        closed = sum(found.value("mdds_publisher_feed_state", feed=feed, state="closed") for feed in FEEDS)
        if closed == len(FEEDS) and found.samples == before.samples:  # that is told some seconds after the end
            stats = system.stats()
            if scrape(system).samples == found.samples:
                return found, stats
        before = found
    pytest.fail(f"the system does not become quiet\n{system.log('run_all')[-3000:]}")


def _wait_until_it_listens(system: System) -> None:
    deadline = time.monotonic() + QUIET_S_MAX
    while "stream: " not in system.log("run_all"):
        assert system.processes["run_all"].poll() is None, system.log("run_all")[-3000:]
        assert time.monotonic() < deadline, system.log("run_all")[-3000:]
        time.sleep(0.05)
