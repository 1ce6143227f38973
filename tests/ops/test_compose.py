"""The Compose file says only what is true: commands that exist, settings that are read, files that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """The services that run our image."""
    return {name: service for name, service in compose["services"].items() if service["image"] == "mdds:local"}


def test_every_process_of_the_path_has_a_service(compose: dict[str, Any]) -> None:
    wanted = {"rabbitmq", "redis", "postgres", "capture", "publisher", "parser", "gateway", "portal", "celery"}
    assert wanted <= set(compose["services"])


def test_every_worker_of_the_distributed_setting_has_a_service(ours: dict[str, Any]) -> None:
    """run_all is the other setting."""
    workers = {name for name in get_commands() if name.startswith("run_")} - {"run_all"}
    assert workers == {service["command"][0] for service in ours.values() if service["command"][0].startswith("run_")}


def test_every_manage_command_exists(ours: dict[str, Any]) -> None:
    named = {name: service["command"][0] for name, service in ours.items() if "entrypoint" not in service}
    unknown = {name: command for name, command in named.items() if command not in get_commands()}
    assert unknown == {}


def test_every_application_that_a_server_is_given_exists(ours: dict[str, Any]) -> None:
    from mdds_site import asgi, celery

    assert ours["portal"]["command"] == ["mdds_site.asgi:application"]
    assert callable(asgi.application)
    assert ours["celery"]["entrypoint"][:3] == ["celery", "--app", "mdds_site"]
    assert celery.app.main == "mdds"


def test_every_setting_is_one_that_the_code_reads(ours: dict[str, Any]) -> None:
    read = set(re.findall(r'"(MDDS_[A-Z_]+)"', (ROOT / "mdds_site" / "env.py").read_text()))
    given = {variable for service in ours.values() for variable in service["environment"]}
    assert given - read == set()


def test_every_variable_is_in_the_example(compose: dict[str, Any]) -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", (DOCKER / "compose.yaml").read_text()))
    given = set(re.findall(r"^([A-Z_]+)=", (DOCKER / "example.env").read_text(), re.MULTILINE))
    assert used == given
    assert compose["name"] == "mdds"


def test_services_wait_only_for_services_that_exist(compose: dict[str, Any]) -> None:
    services = compose["services"]
    waits = {(name, other) for name, service in services.items() for other in service.get("depends_on", {})}
    assert {(name, other) for name, other in waits if other not in services} == set()
    for name, other in waits:
        condition = services[name]["depends_on"][other]["condition"]
        assert condition != "service_healthy" or "healthcheck" in services[other], f"{name} waits for {other}'s health"


def test_volumes_are_declared(compose: dict[str, Any]) -> None:
    mounted = {
        volume.split(":")[0] for service in compose["services"].values() for volume in service.get("volumes", [])
    }
    files = {name for name in mounted if name.startswith("./")}
    assert mounted - files == set(compose["volumes"])
    assert [name for name in files if not (DOCKER / name).is_file()] == []


def test_the_image_gets_every_package_of_the_product() -> None:
    copied = set(re.findall(r"^COPY (\S+) ", (DOCKER / "Dockerfile").read_text(), re.MULTILINE))
    product = {"manage.py", "mdds_site", "portal", "replay", "subscriptions", "feeds", "requirements.txt", "client"}
    assert product <= copied
    assert all((ROOT / name).exists() for name in copied if not name.startswith("--"))
