"""Who gets in over real sockets: take-over, limits, the ban of bad keys, tokens of browsers; the account channel."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from subscriptions.gateway.bad_keys import SECRET_FAILURES_MAX
from subscriptions.gateway.layer import GatewaySettings
from subscriptions.protocol import SUBPROTOCOL_JSON, ProtocolError
from tests.gateway import cast
from tests.gateway.running import Client, RunningGateway, closed_with, running
from tests.gateway.test_rights import tell


@pytest.fixture
def narrow(gateway: RunningGateway) -> RunningGateway:
    """Alice may have two sessions."""
    limits = replace(cast.LIMITS, sessions=2)
    gateway.keys.grants["alice"] = replace(cast.alice(), limits=limits)
    return gateway


def events(client: Client, count: int) -> list[dict[str, Any]]:
    """The next records, whatever control frames come between."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        frame = client.frame()
        found += frame if isinstance(frame, list) else []
    return found


def test_who_asks_takes_the_oldest_session_over(narrow: RunningGateway) -> None:
    oldest, other = narrow.connect(), narrow.connect()
    for one in (oldest, other):
        one.frame()
    refused = narrow.connect()
    assert refused.frame()["code"] == "SESSION_LIMIT"
    assert closed_with(refused)[0] == 4102
    new = narrow.connect(path="/stream/v1?takeover=true")
    assert new.frame()["limits"]["sessions_used"] == 2
    code, reason = closed_with(oldest)
    assert (code, reason["code"]) == (4101, "SESSION_LIMIT")
    later = narrow.connect(None)
    later.frame()
    welcome = later.ask(op="auth", id=1, key="alice", takeover=True)
    assert (welcome["t"], welcome["limits"]["sessions_used"]) == ("welcome", 2)
    assert closed_with(other)[0] == 4101
    assert new.ask(op="ping")["t"] == "pong"


def test_a_plan_may_say_so(narrow: RunningGateway) -> None:
    limits = replace(cast.LIMITS, sessions=1, takeover=True)
    narrow.keys.grants["alice"] = replace(cast.alice(), limits=limits)
    first = narrow.connect()
    first.frame()
    assert narrow.connect().frame()["t"] == "welcome"
    assert closed_with(first)[0] == 4101


def test_a_bad_key_in_a_crash_loop_is_banned_and_costs_no_look(gateway: RunningGateway) -> None:
    looked: list[str] = []
    login = gateway.keys.login

    async def counted(secret: str, address: str | None) -> Any:
        looked.append(secret)
        return await login(secret, address)

    gateway.keys.login = counted  # type: ignore[method-assign]
    for _ in range(SECRET_FAILURES_MAX):
        client = gateway.connect("wrong")
        assert client.frame()["code"] == "AUTH_FAILED"
        assert closed_with(client)[0] == 4401
    for _ in range(3):
        client = gateway.connect("wrong")
        error = client.frame()
        assert (error["code"], error["fatal"], error["retry_after_ms"] > 0) == ("BANNED", True, True)
        assert closed_with(client)[0] == 4429
    assert looked == ["wrong"] * SECRET_FAILURES_MAX
    assert gateway.connect().frame()["t"] == "welcome"  # a neighbour with a good key


def test_an_address_has_its_most_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subscriptions.gateway.admission._of_this_machine", lambda address: False)
    with running(tmp_path, settings=GatewaySettings(flush_ms=5, sessions_per_address_max=2)) as gateway:
        kept = [gateway.connect(), gateway.connect("bob")]
        for one in kept:
            assert one.frame()["t"] == "welcome"
        refused = gateway.connect()
        assert refused.frame()["code"] == "OVERLOADED"
        assert closed_with(refused)[0] == 4000
        kept[0].socket.close()
        gateway.until(lambda: len(gateway.layer.seats) == 1, "the sessions are gone")
        assert gateway.connect().frame()["t"] == "welcome"


def test_a_browser_brings_its_token_as_a_subprotocol(gateway: RunningGateway) -> None:
    host = f"http://127.0.0.1:{gateway.server.port}"
    client = gateway.connect(None, subprotocols=[SUBPROTOCOL_JSON, "auth.alice"], origin=host)
    assert client.socket.subprotocol == SUBPROTOCOL_JSON  # the token is not said back
    assert client.frame()["subscriber"] == "acme"
    with pytest.raises(InvalidStatus) as refused:
        gateway.connect(None, subprotocols=[SUBPROTOCOL_JSON, "auth.alice"], origin="https://evil.example")
    assert refused.value.response.status_code == 403
    named = gateway.connect(None)
    named.frame()
    assert named.ask(op="auth", id=1, token="bob")["subscriber"] == "bobco"


def test_the_end_of_a_key_and_of_a_contract_close_the_session_in_time(gateway: RunningGateway) -> None:
    now_ns = time.time_ns()
    gateway.keys.grants["alice"] = replace(cast.alice(), expires_ns=now_ns + 700_000_000)
    gateway.keys.grants["bob"] = replace(cast.bob(), ends_ns=now_ns + 700_000_000)
    for key, code, close in (("alice", "KEY_EXPIRED", 4401), ("bob", "CONTRACT_ENDED", 4403)):
        client = gateway.connect(key)
        client.frame()
        assert client.subscribe("trade", "FPT")["ok"] == ["FPT"]
        frame = client.frame()
        while frame["t"] != "error":
            frame = client.frame()
        assert (frame["code"], closed_with(client)[0]) == (code, close)
        assert time.time_ns() < now_ns + 5_000_000_000
        gateway.keys.grants["bob"] = replace(cast.bob(), ends_ns=time.time_ns() + 700_000_000)


def test_the_account_channel_is_a_subscribers_own(gateway: RunningGateway) -> None:
    alice, second, bob = gateway.connect(), gateway.connect(), gateway.connect("bob")
    for one in (alice, second, bob):
        one.frame()
    assert alice.subscribe("account", "*")["ok"] == ["*"]
    assert second.subscribe("account", "acme")["ok"] == ["acme"]
    stolen = bob.subscribe("account", "acme", "bobco")
    assert (stolen["ok"], stolen["errors"][0]["code"]) == (["bobco"], "NOT_ENTITLED")
    gateway.keys.grants["alice"] = replace(cast.grant(cast.rule({"depth"})), limits=replace(cast.LIMITS, symbols=7))
    tell(gateway, 1)
    for one in (alice, second):
        rights, limits = events(one, 2)
        assert [rights["event"], rights["n"], limits["event"], limits["n"]] == ["entitlements", 1, "limits", 2]
        assert rights["added"][0]["channels"] == ["depth"]
        assert limits["limits"]["symbols"] == 7
    message = {"type": "account.event", "subscriber": 1, "event": "replay", "members": {"job": 12, "state": "done"}}
    gateway.call(lambda: gateway.worker.rights.account.take(message))
    assert [(one["event"], one["job"], one["n"]) for one in events(alice, 1)] == [("replay", 12, 3)]
    with pytest.raises(TimeoutError):
        while isinstance(frame := bob.frame(0.3), dict):  # states and notices, no record of another
            assert frame["t"] != "account"
    anonymous = gateway.connect(None)
    anonymous.frame()
    assert anonymous.subscribe("account", "acme")["errors"][0]["code"] == "AUTH_REQUIRED"


def test_an_account_hears_of_its_keys_end_and_of_its_quota(gateway: RunningGateway) -> None:
    limits = replace(cast.LIMITS, sessions=3)
    ends_ns = time.time_ns() + 3_000_000_000_000
    gateway.keys.grants["alice"] = replace(cast.alice(), expires_ns=ends_ns, limits=limits)
    gateway.keys.grants["other"] = replace(cast.alice(), key_id="other001", limits=limits)
    client = gateway.connect()
    client.frame()
    client.subscribe("account", "*")
    warning = events(client, 1)[0]
    assert (warning["event"], warning["key"], 2_900 < warning["expires_in_s"] <= 3_000) == (
        "key_expiry", "alice001", True,
    )  # fmt: skip
    other = gateway.connect("other")
    other.frame()
    gateway.connect("other").frame()
    quota = events(client, 1)[0]
    assert (quota["event"], quota["what"], quota["used"], quota["limit"]) == ("quota", "sessions", 3, 3)
    gateway.keys.ended["other001"] = ProtocolError("KEY_REVOKED", "revoked", fatal=True)
    tell(gateway, 1)
    ended = [json.loads(json.dumps(one)) for one in events(client, 1)]
    assert (ended[0]["event"], ended[0]["key"], ended[0]["code"]) == ("key_ended", "other001", "KEY_REVOKED")
