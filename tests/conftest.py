"""Fixtures that every test may ask for: the private services, a base port, the browser that Debian installs."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from testbed.ports import free_base_port
from testbed.postgresql import PrivatePostgreSQL
from testbed.process import PrivateService
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.redis import PrivateRedis

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")

# The synchronous browser API leaves its event loop running in the main thread until the session ends.
BROWSER_FIXTURE = "playwright"

# An example that takes long on a busy machine is no failure; a test that takes long has its timeout.
hypothesis_settings.register_profile("mdds", deadline=None)
hypothesis_settings.load_profile("mdds")

_started: list[PrivateService] = []


def pytest_configure() -> None:
    """A shell starts its background jobs without Ctrl-C, and they hand that down: tests need it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests go last: after the first of them no other event loop can run in the main thread."""
    items.sort(key=drives_a_browser)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """From the first browser test on, Django sees a running loop in the main thread though its calls are not."""
    if drives_a_browser(item):
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


def drives_a_browser(item: pytest.Item) -> bool:
    """True for a test that asks for `page`, `context` or `browser`."""
    return BROWSER_FIXTURE in getattr(item, "fixturenames", ())


def _lend(service: PrivateService) -> Iterator[PrivateService]:
    service.start()
    _started.append(service)
    yield service
    _started.remove(service)
    service.close()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[PrivateService]:
    """A private RabbitMQ node, started once per session at first use."""
    yield from _lend(PrivateRabbitMQ())


@pytest.fixture(scope="session")
def redis_server() -> Iterator[PrivateService]:
    """A private Redis, started once per session at first use."""
    yield from _lend(PrivateRedis())


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PrivateService]:
    """A private PostgreSQL cluster, started once per session at first use."""
    yield from _lend(PrivatePostgreSQL())


@pytest.fixture(autouse=True)
def _services_healed() -> None:
    """A test may kill or pause a service; the next one finds it running."""
    for service in _started:
        service.ensure_running()


@pytest.fixture
def base_port() -> int:
    """`MDDS_PORT` for one system under test: it and the ports derived from it are free."""
    return free_base_port()


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, object]) -> dict[str, object]:
    """Debian's chromium instead of a downloaded one; without its sandbox when root, which chromium demands."""
    path = next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)
    if path is None:
        return browser_type_launch_args
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"] if os.geteuid() == 0 else []
    return {**browser_type_launch_args, "executable_path": path, "args": arguments}
