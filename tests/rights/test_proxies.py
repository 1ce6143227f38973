"""X-Forwarded-For is believed from listed proxies only, whatever a client writes into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from channels.layers import channel_layers

from mdds_site.env import read_environment
from mdds_site.proxies import behind as behind_proxies
from tests.gateway.running import RunningGateway


@contextmanager
def behind(folder: Path, *proxies: str) -> Iterator[RunningGateway]:
    gateway = RunningGateway(folder)
    gateway.server.trusted_proxies = proxies
    before = channel_layers.backends.get("default")
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()
        gateway.clients.close()
        if before is not None:
            channel_layers.set("default", before)
        else:
            channel_layers.backends.pop("default", None)


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        ((), "203.0.113.7", "127.0.0.1"),
        (("10.0.0.0/8",), "203.0.113.7", "127.0.0.1"),
        (("127.0.0.1",), "203.0.113.7", "203.0.113.7"),
        (("127.0.0.0/8",), "198.51.100.1, 203.0.113.7", "203.0.113.7"),  # the client wrote the first itself
        (("127.0.0.1", "203.0.113.0/24"), "198.51.100.1, 203.0.113.7", "198.51.100.1"),
    ],
)
def test_the_address_of_a_session(tmp_path: Path, proxies: tuple[str, ...], forwarded: str, address: str) -> None:
    with behind(tmp_path, *proxies) as gateway:
        client = gateway.connect(headers={"X-Forwarded-For": forwarded})
        assert client.frame()["t"] == "welcome"
        assert [seat.session.address for seat in gateway.layer.seats.values()] == [address]


@pytest.mark.parametrize(
    ("proxies", "address"), [((), "127.0.0.1"), (("10.0.0.0/8",), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.7")]
)
async def test_the_address_of_a_request_to_the_portal(proxies: tuple[str, ...], address: str) -> None:
    """By the site itself: daphne's own option would believe everybody."""
    seen: list[str] = []

    async def site(scope: dict[str, list[str]], _receive: object, _send: object) -> None:
        seen.append(scope["client"][0])

    scope = {"type": "http", "scheme": "http", "client": ["127.0.0.1", 4711]}
    scope["headers"] = [(b"x-forwarded-for", b"203.0.113.7")]
    await behind_proxies(proxies, site)(scope, None, None)
    assert seen == [address]


def test_what_the_environment_may_say() -> None:
    root = Path("/nowhere")
    good = {"MDDS_PROXIES": "127.0.0.1, 10.0.0.0/8", "MDDS_TOKEN_KEYS": f"b:{'n' * 32},a:{'o' * 40}"}
    settings, problems = read_environment(good, root=root)
    assert (settings.proxies, problems) == (("127.0.0.1", "10.0.0.0/8"), ())
    assert settings.token_keys == (f"b:{'n' * 32}", f"a:{'o' * 40}")
    for name, text in (
        ("MDDS_PROXIES", "proxy.example"),
        ("MDDS_TOKEN_KEYS", "a:short"),
        ("MDDS_TOKEN_KEYS", "x" * 40),
        ("MDDS_TOKEN_KEYS", f"a:{'n' * 32},a:{'o' * 32}"),
    ):
        settings, problems = read_environment({name: text}, root=root)
        assert [one.variable for one in problems] == [name]
        assert text not in str(problems[0]) or name == "MDDS_PROXIES", "no secret in a message"
        assert (settings.proxies, settings.token_keys) == ((), ())
