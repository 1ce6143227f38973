"""Every error code and close code: provoked here on a real socket, or listed with why not and the test that has it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from subscriptions.close_codes import CloseCode
from tests.conformance.server import Client, Server
from tests.gateway import cast

pytestmark = pytest.mark.services
ROOT = Path(__file__).resolve().parents[2]

ERRORS = {
    "BAD_JSON",
    "UNKNOWN_OP",
    "BAD_PARAM",
    "NOT_SUBSCRIBED",
    "TOO_LARGE",
    "AUTH_REQUIRED",
    "AUTH_FAILED",
    "KEY_REVOKED",
    "KEY_EXPIRED",
    "IP_NOT_ALLOWED",
    "NOT_ENTITLED",
    "LEVEL_NOT_ENTITLED",
    "DELAYED_ONLY",
    "CONTRACT_ENDED",
    "SESSION_LIMIT",
    "SYMBOL_LIMIT",
    "RATE_LIMIT",
    "SYMBOL_UNKNOWN",
    "RESUME_EPOCH",
    "RESUME_AGED_OUT",
    "REPLAY_AGED_OUT",
    "FEED_DOWN",
    "INTERNAL",
    "OVERLOADED",
    "SHUTDOWN",
}

# code: an operation, and the key that sends it. The session goes on afterwards.
REFUSED: dict[str, tuple[str, object]] = {
    "BAD_JSON": ("full", "{"),
    "UNKNOWN_OP": ("full", {"op": "fly"}),
    "BAD_PARAM": ("full", {"op": "sub", "ch": "trade", "symbols": "FPT"}),
    "NOT_SUBSCRIBED": ("full", {"op": "unsub", "sid": 99}),
    "AUTH_REQUIRED": ("", {"op": "sub", "ch": "trade", "symbols": ["FPT"], "origin": "replay:1"}),
    "REPLAY_AGED_OUT": (
        "full",
        {"op": "replay", "ch": "trade", "symbols": ["FPT"], "start": "2001-01-02T02:15Z", "end": "2001-01-02T03:00Z"},
    ),
}  # fmt: skip
# code: a subscription of one symbol, refused for that symbol.
REFUSED_SYMBOLS: dict[str, tuple[str, dict[str, object]]] = {
    "SYMBOL_UNKNOWN": ("full", {"ch": "trade", "symbols": ["NOBODY"]}),
    "NOT_ENTITLED": ("narrow", {"ch": "trade", "symbols": ["FPT"]}),
    "LEVEL_NOT_ENTITLED": ("narrow", {"ch": "depth", "symbols": ["FPT"], "depth": 10, "exact": True}),
    "DELAYED_ONLY": ("delayed", {"ch": "depth", "symbols": ["FPT"], "timeliness": "realtime"}),
    "SYMBOL_LIMIT": ("one", {"ch": "trade", "symbols": ["FPT", "VNM"]}),
}
# code: the key that is refused at the door, and the close.
FATAL = {
    "AUTH_FAILED": ("mdds_live_aaaaaaaa_wrong", 4401),
    "KEY_REVOKED": ("revoked", 4401),
    "KEY_EXPIRED": ("expired", 4401),
    "IP_NOT_ALLOWED": ("elsewhere", 4401),
    "CONTRACT_ENDED": ("ended", 4403),
}
PROVOKED_BY_A_TEST = {"SESSION_LIMIT", "RATE_LIMIT", "SHUTDOWN"}
# code: why it is not provoked on this server, and the test that has it.
ELSEWHERE: dict[str | int, tuple[str, str]] = {
    "TOO_LARGE": (
        "uvicorn's limit is the protocol's: a longer message is closed with 1009 before the session sees it",
        "tests/gateway/test_protocol.py::test_sizes_are_counted_in_bytes",
    ),
    "RESUME_EPOCH": (
        "a resume is answered with `gap` and why: epoch (test_operations.py); the code is the SDK's name for it",
        "tests/conformance/test_operations.py::test_a_resume_that_cannot_be_whole_says_why",
    ),
    "RESUME_AGED_OUT": (
        "a resume is answered with `gap` and why: retention; the code is the SDK's name for it",
        "tests/conformance/test_operations.py::test_a_resume_that_cannot_be_whole_says_why",
    ),
    "FEED_DOWN": (
        "only a gateway whose bus stays away at its start says it",
        "tests/conformance/test_faults.py::test_a_resume_at_a_gateway_without_its_feed_is_told_to_come_later",
    ),
    "INTERNAL": ("it takes a fault of ours", "tests/conformance/test_faults.py::test_a_fault_of_ours_is_internal"),
    "OVERLOADED": (
        "it takes 20,000 sessions, 1,000 from one foreign address, or a database that is away",
        "tests/gateway/test_refusals.py::test_a_database_that_is_away_refuses_new_logins_and_keeps_sessions",
    ),
    1000: ("the client's own close", "tests/conformance/test_operations.py::test_a_clients_close_is_answered"),
    1002: ("frames against the RFC", "tests/conformance/test_autobahn.py::test_cases"),
    1003: (
        "reserved: a binary frame has BAD_JSON and the session goes on",
        "tests/conformance/test_autobahn.py::test_cases",
    ),
    1009: ("16 KiB and one byte", "tests/conformance/test_hostile.py::test_a_byte_too_many"),
    1011: ("it takes a fault of ours", "tests/conformance/test_faults.py::test_a_fault_of_ours_is_internal"),
    4003: (
        "33 s of silence",
        "tests/gateway/test_refusals.py::test_a_client_that_does_not_answer_pings_is_closed_with_4003",
    ),
    4001: ("a client that never reads", "tests/conformance/test_hostile.py::test_who_asks_and_never_reads"),
}
CLOSED_HERE = {4000, 4004, 4101, 4102, 4401, 4403, 4429}


def test_no_code_is_left_out() -> None:
    here = {*REFUSED, *REFUSED_SYMBOLS, *FATAL, *PROVOKED_BY_A_TEST}
    assert here | {one for one in ELSEWHERE if isinstance(one, str)} == ERRORS
    assert CLOSED_HERE | {one for one in ELSEWHERE if isinstance(one, int)} == {int(one) for one in CloseCode}


@pytest.mark.parametrize(("reason", "where"), ELSEWHERE.values(), ids=map(str, ELSEWHERE))
def test_what_is_tested_elsewhere_is_there(reason: str, where: str) -> None:
    assert reason
    path, _, name = where.partition("::")
    assert not where or f"def {name}" in (ROOT / path).read_text()


@pytest.mark.parametrize("code", REFUSED)
def test_a_refused_operation_has_its_code_and_the_session_goes_on(server: Server, code: str) -> None:
    key, operation = REFUSED[code]
    with server.connect(key or None) as socket:
        client = Client(socket)
        client.until("t", "welcome")
        if isinstance(operation, str):
            socket.send(operation)
            error = client.until("t", "error")
        else:
            error = client.ask(**{**operation, "id": 7})
            assert error["id"] == 7
        assert (error["t"], error["code"], error["fatal"]) == ("error", code, False)
        assert error["msg"]
        assert client.ask(op="ping", id="after")["t"] == "pong"


@pytest.mark.parametrize("code", REFUSED_SYMBOLS)
def test_a_refused_symbol_has_its_code(server: Server, code: str) -> None:
    key, members = REFUSED_SYMBOLS[code]
    with server.connect(key) as socket:
        found = Client(socket).ask(op="sub", id=7, **members)
        assert [one["code"] for one in found["errors"]] == [code]


@pytest.mark.parametrize("code", FATAL)
def test_a_key_that_does_not_hold_is_told_why_and_closed(server: Server, code: str) -> None:
    key, close = FATAL[code]
    with server.connect(key) as socket:
        closed, reason, frames = Client(socket).closed()
    assert [(one["code"], one["fatal"]) for one in frames] == [(code, True)]
    assert (closed, reason["code"]) == (close, code)


def test_the_session_limit_refuses_the_second_or_takes_the_first_over(server: Server) -> None:
    with server.connect("oldest") as first, server.connect("oldest") as second:
        assert Client(first).frame()["limits"]["sessions"] == 1
        closed, reason, frames = Client(second).closed()
        assert (closed, reason["code"], frames[-1]["code"]) == (4102, "SESSION_LIMIT", "SESSION_LIMIT")
        assert 500 <= reason["retry_after_ms"] <= 5_000
        with server.connect(None) as third:
            taker = Client(third)
            taker.frame()
            taken = taker.ask(op="auth", id=1, key=server.secrets["oldest"], takeover=True)
            assert taken["t"] == "welcome"
            assert Client(first).closed()[:1] == (4101,)


def test_the_rate_limit_delays_refuses_and_closes(server: Server) -> None:
    with server.connect("one") as socket:
        for number in range(120):
            socket.send(f'{{"op":"ping","id":{number}}}')
        closed, reason, frames = Client(socket).closed()
    answers = [one.get("code", one["t"]) for one in frames[1:]]
    assert answers[:6] == ["pong"] * 6
    assert set(answers[6:]) == {"RATE_LIMIT"}
    assert (closed, reason["code"]) == (4102, "RATE_LIMIT")


def test_a_key_revoked_under_way_ends_the_session(server: Server) -> None:
    with server.connect("ending") as socket:
        client = Client(socket)
        client.until("t", "welcome")
        server.system.manage(
            "shell", "-c",
            "from subscriptions.models import ApiKey; from django.utils import timezone; "
            "row = ApiKey.objects.get(name='ending'); row.revoked_at = timezone.now(); row.save()",
        )  # fmt: skip
        closed, reason, _ = client.closed()
    assert (closed, reason["code"]) == (4401, "KEY_REVOKED")


def test_a_key_that_fails_again_and_again_is_banned(server: Server) -> None:
    codes = []
    deadline = time.monotonic() + 30
    while 4429 not in codes and time.monotonic() < deadline:
        with server.connect("mdds_live_bbbbbbbb_wrong") as socket:
            code, reason, frames = Client(socket).closed()
        codes.append(code)
    assert codes[0] == 4401
    assert codes[-1] == 4429
    assert reason["code"] == "BANNED"
    assert frames[0]["retry_after_ms"] > 0


def test_a_session_without_a_key_or_a_subscription_is_closed_after_10_s(server: Server) -> None:
    with server.connect(None) as socket:
        began = time.monotonic()
        closed, reason, _ = Client(socket).closed()
    assert (closed, reason["code"]) == (4401, "AUTH_REQUIRED")
    assert time.monotonic() - began > 8


def test_the_end_of_the_process_is_a_shutdown_with_a_time_to_come_back(
    server: Server, make_server: Callable[[], Any]
) -> None:
    other = make_server()
    with other.connect() as socket:
        client = Client(socket)
        client.until("t", "welcome")
        other.system.processes["gateway"].send_signal(signal.SIGTERM)
        closed, reason, _ = client.closed()
    assert (closed, reason["code"]) == (4000, "SHUTDOWN")
    assert 500 <= reason["retry_after_ms"] <= 5_000


def test_a_parser_that_lost_its_count_ends_the_sessions_that_go_by_it(server: Server) -> None:
    """Its numbers begin again within the epoch: who followed comes back, is told a gap, and goes on."""
    server.publish(*(cast.trade("LOST", number) for number in range(1, 6)), cast.trade("KEPT", 1))
    with server.connect() as socket, server.connect() as another:
        client, bystander = Client(socket), Client(another)
        for one, symbol in ((client, "LOST"), (bystander, "KEPT")):
            while not one.ask(op="sub", id=1, ch="trade", symbols=[symbol], snapshot=False)["ok"]:
                pass
        server.publish(cast.trade("LOST", 1), run=2)
        closed, reason, frames = client.closed()
        assert bystander.ask(op="ping", id=2)["t"] == "pong"
    assert (closed, reason["code"]) == (4004, "STATE_LOST")
    assert 500 <= reason["retry_after_ms"] <= 5_000
    assert not any(isinstance(one, list) for one in frames)
    with server.connect() as socket:
        client = Client(socket)
        client.ask(op="sub", id=1, ch="trade", symbols=["LOST"], resume={"LOST": [cast.EPOCH, 5]})
        gap = client.until("t", "gap")
        assert (gap["s"], gap["from"], gap["to"], gap["why"]) == ("LOST", 6, None, "epoch")
        server.publish(cast.trade("LOST", 2), run=2)
        while not isinstance(found := client.frame(), list):
            pass
        assert [one["n"] for one in found] == [2]
    server.publish(cast.trade("KEPT", 2))  # the ordinary numbering goes on
