"""Every operation of the protocol on a real socket: what is asked, what is answered, what comes."""

from __future__ import annotations

import json

import pytest

from subscriptions.gateway.encodings import unpack
from tests.conformance.server import Client, Server
from tests.gateway import cast

pytestmark = pytest.mark.services


def test_the_welcome_says_whose_session_it_is_and_its_limits(server: Server) -> None:
    with server.connect() as socket:
        welcome = Client(socket).frame()
    assert (welcome["t"], welcome["v"], welcome["subscriber"], welcome["hb_s"]) == ("welcome", "1", "full", 15)
    assert welcome["session"].startswith("s_")
    assert set(welcome["limits"]) == {"symbols", "ops_per_s", "queue_bytes", "sessions", "sessions_used"}


def test_auth_as_the_first_message(server: Server) -> None:
    with server.connect(None) as socket:
        client = Client(socket)
        assert client.frame()["subscriber"] == "anonymous"
        assert client.ask(op="auth", id=1, key=server.secrets["full"])["subscriber"] == "full"


def test_ping(server: Server) -> None:
    with server.connect() as socket:
        assert Client(socket).ask(op="ping", id="a")["t"] == "pong"


def test_sub_set_list_and_unsub(server: Server) -> None:
    with server.connect() as socket:
        client = Client(socket)
        asked = {"ch": "depth", "symbols": ["FPT", "NOBODY"], "depth": 5, "conflate_ms": 0, "on_slow": "conflate"}
        answer = client.ask(op="sub", id=1, **asked)
        sid = answer["sid"]
        assert answer["t"] == "sub"
        assert answer["ok"] == ["FPT"]
        assert [one["s"] for one in answer["errors"]] == ["NOBODY"]
        assert (answer["granted"]["depth"], answer["granted"]["timeliness"]) == (5, "realtime")
        [image] = client.frame()
        assert (image["ch"], image["s"], len(image["b"])) == ("depth", "FPT", 5)
        changed = client.ask(op="set", id=2, sid=sid, conflate_ms=250)
        assert changed["granted"]["conflate_ms"] == 250
        [row] = client.ask(op="list", id=3)["subscriptions"]
        assert (row["sid"], row["ch"], row["symbols"], row["state"]) == (sid, "depth", ["FPT"], "running")
        assert client.ask(op="unsub", id=4, sid=sid)["t"] == "unsub"
        assert client.ask(op="list", id=5, ch="depth")["subscriptions"] == []


def test_records_are_the_parsers_bytes_for_everybody(server: Server) -> None:
    with server.connect() as one, server.connect(subprotocols=["mdds.v1.msgpack"]) as other:
        assert Client(one).ask(op="sub", id=1, ch="trade", symbols=["OPS"])["errors"]  # nobody has heard of it
        line = cast.trade("VNM", 4)
        assert Client(one).ask(op="sub", id=2, ch="trade", symbols=["VNM"], snapshot=False)["ok"] == ["VNM"]
        other.recv(timeout=20)
        other.send('{"op":"sub","id":2,"ch":"trade","symbols":["VNM"],"snapshot":false}')
        assert unpack(bytes(other.recv(timeout=20)))["ok"] == ["VNM"]  # type: ignore[index, call-overload]
        server.publish(line)
        assert str(one.recv(timeout=20)).encode() == b"[" + line + b"]"
        assert unpack(bytes(other.recv(timeout=20))) == [json.loads(line)]


def test_a_resume_brings_what_was_missed(server: Server) -> None:
    with server.connect() as socket:
        client = Client(socket)
        asked = {"ch": "trade", "symbols": ["FPT"], "resume": {"FPT": [cast.EPOCH, 1]}}
        assert client.ask(op="sub", id=1, **asked)["ok"] == ["FPT"]
        resumed = client.until("t", "resumed")
        assert (resumed["s"], resumed["from"]) == ("FPT", 2)
        assert [one["n"] for one in client.frame()] == [2, 3]


@pytest.mark.parametrize(
    ("symbol", "epoch", "number", "why"),
    [("FPT", "20261119-1", 7, "epoch"), ("VNM", cast.EPOCH, 0, "retention")],
)
def test_a_resume_that_cannot_be_whole_says_why(server: Server, symbol: str, epoch: str, number: int, why: str) -> None:
    if why == "retention":  # a stream whose beginning nobody has
        symbol = "SHS"
        server.publish(cast.trade(symbol, 50, m="STX"))
        with server.connect() as socket:
            client = Client(socket)
            while not client.ask(op="sub", id=0, ch="trade", symbols=[symbol])["ok"]:
                pass
    with server.connect() as socket:
        client = Client(socket)
        client.ask(op="sub", id=1, ch="trade", symbols=[symbol], resume={symbol: [epoch, number]})
        gap = client.until("t", "gap")
    assert (gap["s"], gap["why"]) == (symbol, why)


def test_replay_and_ctl_answer_with_the_id(server: Server) -> None:
    """A replay that plays: tests/gateway/test_replays.py, tests/replay."""
    times = {"start": "2001-01-02T02:15:00Z", "end": "2001-01-02T03:00:00Z"}
    with server.connect() as socket:
        client = Client(socket)
        asked = client.ask(op="replay", id=1, ch="trade", symbols=["FPT"], speed=10, then="live", **times)
        assert asked["code"] == "REPLAY_AGED_OUT"
        assert client.ask(op="ctl", id=2, sid=31, do="pause")["code"] == "NOT_SUBSCRIBED"


def test_a_clients_close_is_answered(server: Server) -> None:
    with server.connect() as socket:
        Client(socket).frame()
        socket.close(1000)
        assert socket.close_code == 1000
