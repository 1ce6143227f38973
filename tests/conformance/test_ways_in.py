"""Every way to connect and authenticate of the protocol's table, on a real socket; and the private channel it opens."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from websockets.exceptions import InvalidStatus

from tests.conformance.server import Client, Server

pytestmark = pytest.mark.services
# Prints a token of the key, one that has ended, and the error for one that would live too long.
TOKENS = """
import datetime
from django.utils import timezone
from subscriptions.authentication import authenticate, issue_token
grant, now = authenticate("{key}", "127.0.0.1"), timezone.now()
print("token", issue_token(grant, at=now))
print("token", issue_token(grant, at=now - datetime.timedelta(minutes=6)))
try:
    issue_token(grant, at=now, lifetime_s=301)
except ValueError as error:
    print("token", error)
"""
TELL = """
from subscriptions.models import Contract
row = Contract.objects.get(number="told")
row.symbols_max = 77
row.save()
"""


class Tokens(NamedTuple):
    good: str
    ended: str
    too_long: str


@pytest.fixture(scope="module")
def tokens(server: Server) -> Tokens:
    printed = server.system.manage("shell", "-v0", "-c", TOKENS.format(key=server.secrets["full"]))
    return Tokens(*(line.removeprefix("token ") for line in printed.splitlines() if line.startswith("token ")))


def test_a_key_or_a_token_in_the_header(server: Server, tokens: Tokens) -> None:
    for secret in ("full", tokens.good):
        with server.connect(secret) as socket:
            assert Client(socket).frame()["subscriber"] == "full"


def test_a_key_or_a_token_in_the_first_message(server: Server, tokens: Tokens) -> None:
    for members in ({"key": server.secrets["full"]}, {"token": tokens.good}):
        with server.connect(None) as socket:
            client = Client(socket)
            assert client.frame()["subscriber"] == "anonymous"
            assert client.ask(op="auth", id=1, **members)["subscriber"] == "full"
            assert client.ask(op="sub", id=2, ch="trade", symbols=["FPT"])["ok"] == ["FPT"]


@pytest.mark.parametrize("spoken", ["mdds.v1.json", "mdds.v1.msgpack"])
def test_a_browsers_token_as_a_subprotocol_is_never_answered(server: Server, tokens: Tokens, spoken: str) -> None:
    with server.connect(None, subprotocols=[spoken, f"auth.{tokens.good}"]) as socket:
        assert socket.subprotocol == spoken
        assert tokens.good not in str(socket.response)
        first = socket.recv(timeout=20)
        assert (b"full" in first) if isinstance(first, bytes) else ('"subscriber":"full"' in first)


def test_a_token_lives_five_minutes(server: Server, tokens: Tokens) -> None:
    assert "1 to 300 s, got 301" in tokens.too_long
    with server.connect(tokens.ended) as socket:
        closed, reason, frames = Client(socket).closed()
    assert (closed, reason["code"], frames[0]["code"]) == (4401, "AUTH_FAILED", "AUTH_FAILED")


def test_nothing_opens_what_is_public_with_tighter_limits(server: Server) -> None:
    with server.connect() as socket:
        with_key = Client(socket).frame()["limits"]
    with server.connect(None) as socket:
        client = Client(socket)
        limits = client.frame()["limits"]
        assert limits["symbols"] < with_key["symbols"]
        assert limits["ops_per_s"] < with_key["ops_per_s"]
        assert client.ask(op="sub", id=1, ch="status", symbols=["FPT"])["ok"] == ["FPT"]
        for channel in ("trade", "depth", "account"):
            reply = client.ask(op="sub", id=2, ch=channel, symbols=["FPT"])
            assert (reply["sid"], reply["errors"][0]["code"]) == (None, "AUTH_REQUIRED")


@pytest.mark.parametrize("name", ["key", "token", "api_key"])
def test_never_a_key_in_a_url(server: Server, name: str) -> None:
    with server.connect(None, query=f"?{name}={server.secrets['full']}") as socket:
        closed, reason, frames = Client(socket).closed()
    assert (closed, reason["code"]) == (4401, "AUTH_FAILED")
    assert "URL" in frames[0]["msg"]
    assert server.secrets["full"] not in server.system.log("gateway")


@pytest.mark.parametrize(
    ("options", "status"), [({"origin": "https://elsewhere.example"}, 403), ({"subprotocols": ["mdds.v9.json"]}, 400)]
)
def test_a_foreign_origin_or_protocol_is_refused(server: Server, options: dict[str, object], status: int) -> None:
    with pytest.raises(InvalidStatus) as refused, server.connect(**options):
        pass
    assert refused.value.response.status_code == status


def test_the_account_channel_tells_its_subscriber_of_a_change_and_nobody_else(server: Server) -> None:
    with server.connect("told") as mine, server.connect("full") as another:
        own, other = Client(mine), Client(another)
        assert own.ask(op="sub", id=1, ch="account", symbols=["*"])["ok"] == ["*"]
        assert other.ask(op="sub", id=1, ch="account", symbols=["told"])["errors"][0]["code"] == "NOT_ENTITLED"
        assert other.ask(op="sub", id=2, ch="account", symbols=["*"])["ok"] == ["*"]
        server.system.manage("shell", "-c", TELL)
        while isinstance(found := own.frame(), dict):
            assert found["t"] in ("state", "hb")
        assert [(one["ch"], one["event"], one["limits"]["symbols"]) for one in found] == [("account", "limits", 77)]
        other.socket.send('{"op":"ping","id":9}')
        while isinstance(found := other.frame(), dict) and found["t"] != "pong":
            assert found["t"] in ("state", "hb")
        assert found["id"] == 9, "a record of another subscriber's account"
