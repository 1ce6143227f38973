"""The environment: defaults, derived names, and a report of every bad variable at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mdds_site.env import METRICS_KINDS, masked, read_environment

ROOT = Path("/srv/mdds")


def problems(**environ: str) -> list[tuple[str, str]]:
    return [(problem.variable, problem.found) for problem in read_environment(environ, root=ROOT)[1]]


def test_an_empty_environment_is_the_embedded_default() -> None:
    settings, found = read_environment({}, root=ROOT)
    assert found == ()
    assert (settings.data_dir, settings.base_port, settings.host) == (ROOT / "var", 8000, "127.0.0.1")
    assert (settings.bus_url, settings.redis_url, settings.database_url) == ("memory://", "", "sqlite")
    assert (settings.celery_broker, settings.partitions) == ("memory://", 4)
    assert (settings.debug, settings.tls, settings.embedded) == (False, False, True)
    assert (settings.flush_ms, settings.outbox_bytes_max, settings.heartbeat_s) == (10, 1_048_576, 15)
    assert (settings.sessions_max, settings.sessions_per_address_max) == (20_000, 1_000)
    assert settings.gateway_port == 8000


def test_the_distributed_setting_takes_celery_to_the_bus() -> None:
    environ = {
        "MDDS_BUS": "amqp://mdds:pw@broker:5672/site",
        "MDDS_REDIS": "redis://cache:6379/0",
        "MDDS_DATABASE": "postgresql://mdds:pw@db/mdds",
        "MDDS_PORT": "9000",
        "MDDS_DEBUG": "yes",
        "MDDS_ALLOWED_HOSTS": "a.example, b.example",
    }
    settings, found = read_environment(environ, root=ROOT)
    assert found == ()
    assert settings.celery_broker == settings.bus_url == environ["MDDS_BUS"]
    assert (settings.embedded, settings.gateway_port, settings.debug) == (False, 9001, True)
    assert settings.allowed_hosts == ("a.example", "b.example", "127.0.0.1")


def test_two_base_ports_share_no_port_group_or_name() -> None:
    def names(port: str) -> set[object]:
        settings, _ = read_environment({"MDDS_PORT": port}, root=ROOT)
        ports: set[object] = {settings.base_port, settings.base_port + 1}
        ports |= {settings.metrics_port(kind, index) for kind in METRICS_KINDS for index in range(8)}
        lines: set[object] = {settings.line_port(line) for line in range(8)}
        groups: set[object] = {settings.line_group(line) for line in range(8)}
        assert len(ports) == 2 + 8 * len(METRICS_KINDS)
        assert len(lines) == len(groups) == 8
        assert not ports & lines
        return ports | lines | groups | {settings.prefix}

    assert not names("8000") & names("8400")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MDDS_PORT", "eighty"),
        ("MDDS_PORT", "80"),
        ("MDDS_PORT", "65500"),
        ("MDDS_PORT", "٨٠٠٠"),
        ("MDDS_PARTITIONS", "0"),
        ("MDDS_PARTITIONS", "-1"),
        ("MDDS_DEBUG", "maybe"),
        ("MDDS_BUS", "http://broker"),
        ("MDDS_BUS", "amqp://"),
        ("MDDS_BUS", "amqp://broker:port/"),
        ("MDDS_BUS", "rabbit"),
        ("MDDS_REDIS", "localhost:6379"),
        ("MDDS_DATABASE", "mysql://db/x"),
        ("MDDS_DATABASE", "postgresql://db"),
        ("MDDS_FLUSH_MS", "1.5"),
        ("MDDS_HEARTBEAT_S", "0"),
        ("MDDS_OUTBOX_BYTES", "1"),
        ("MDDS_SESSIONS_MAX", "0"),
        ("MDDS_SESSIONS_MAX", "1000001"),
        ("MDDS_SESSIONS_PER_ADDRESS_MAX", "many"),
        ("MDDS_ALLOWED_HOSTS", "*"),
        ("MDDS_ALLOWED_HOSTS", "https://a.example"),
        ("MDDS_ORIGINS", "a.example"),
        ("MDDS_TIME_ZONE", "Saigon/Nowhere"),
        ("MDDS_LOG", "loud"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(variable: str, value: str) -> None:
    settings, found = read_environment({variable: value}, root=ROOT)
    assert [(problem.variable, problem.found) for problem in found] == [(variable, value)]
    assert found[0].expected
    assert str(found[0]).startswith(f"{variable}=")
    default, _ = read_environment({}, root=ROOT)
    assert settings == default


def test_all_problems_are_collected() -> None:
    assert problems(MDDS_PORT="x", MDDS_BUS="y", MDDS_LOG="z") == [
        ("MDDS_BUS", "y"),
        ("MDDS_PORT", "x"),
        ("MDDS_LOG", "z"),
    ]


def test_a_password_or_secret_is_never_shown() -> None:
    assert problems(MDDS_BUS="http://user:hunter2@broker/") == [("MDDS_BUS", "http://user:***@broker/")]
    assert problems(MDDS_DATABASE="postgresql://user:hun@ter2@db") == [("MDDS_DATABASE", "postgresql://user:***@db")]
    assert problems(MDDS_SECRET_KEY="hunter2") == [("MDDS_SECRET_KEY", "(7 characters)")]
    assert masked("amqp://user:a:b@c@host/v") == "amqp://user:***@host/v"


def test_the_settings_of_a_capture() -> None:
    environ = {"MDDS_HOST_NAME": "hcm-2", "MDDS_CAPTURE_CPUS": "2, 3", "MDDS_CAPTURE_PRIORITY": "50"}
    settings, found = read_environment(environ, root=ROOT)
    assert found == ()
    assert (settings.capture_cpus, settings.capture_priority) == ((2, 3), 50)
    assert settings.worker_name("capture", 1) == "capture-1@hcm-2"
    assert (settings.priority, settings.linger_ms) == (0, 2)


def test_the_settings_of_latency() -> None:
    settings, found = read_environment({"MDDS_PRIORITY": "1", "MDDS_LINGER_MS": "5"}, root=ROOT)
    assert (found, settings.priority, settings.linger_ms) == ((), 1, 5)
    settings, found = read_environment({"MDDS_GATEWAY_CPUS": "0,3"}, root=ROOT)
    assert (found, settings.gateway_cpus, settings.capture_cpus) == ((), (0, 3), ())
    assert problems(MDDS_GATEWAY_CPUS="0-3") == [("MDDS_GATEWAY_CPUS", "0-3")]
    assert problems(MDDS_PRIORITY="100", MDDS_LINGER_MS="51") == [("MDDS_PRIORITY", "100"), ("MDDS_LINGER_MS", "51")]


def test_a_worker_is_named_after_its_kind() -> None:
    assert read_environment({}, root=ROOT)[0].worker_name("capture") == "capture-0"


def test_a_capture_cannot_be_pinned_to_nonsense() -> None:
    assert problems(MDDS_CAPTURE_CPUS="2-3", MDDS_CAPTURE_PRIORITY="100", MDDS_HOST_NAME="a b") == [
        ("MDDS_HOST_NAME", "a b"),
        ("MDDS_CAPTURE_CPUS", "2-3"),
        ("MDDS_CAPTURE_PRIORITY", "100"),
    ]
