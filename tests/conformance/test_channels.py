"""Every channel of the protocol on a real socket, in both encodings: what a subscriber starts with and what follows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import pytest
from websockets.sync.client import ClientConnection

from subscriptions import protocol
from subscriptions.gateway.encodings import unpack
from tests.conformance.server import WAIT_S, Client, Server
from tests.gateway import cast

pytestmark = pytest.mark.services
MINUTE = b"2026-11-20T02:15:00.123Z"
# The table of client_protocol.md.
CHANNELS = (
    "trade", "quote", "book", "depth", "stats", "expected", "foreign", "index", "status", "definition", "bar", "raw",
    "account",
)  # fmt: skip


class Walk(NamedTuple):
    """The source's record number k, the stream's symbol, and what must come of records 1 and 2: the `n` that a new
    subscriber starts with (None: an event, nothing), the `n` of the next one, and members that this has."""

    make: Callable[[int], bytes]
    symbol: str
    first: int | None
    then: int
    members: dict[str, Any]
    plain: bool = True  # the parser's bytes


def source(channel: str, symbol: str, kind: str, **members: object) -> Callable[[int], bytes]:
    return lambda number: cast.record(channel, symbol, number, mt=kind, **members)


def walks(symbol: str) -> dict[str, Walk]:
    def book(number: int) -> bytes:
        return cast.record("depth", symbol, number, b=[[100, 10 * number], [99, 5]], a=[[101, 7]])

    def trade(number: int) -> bytes:
        line = cast.record("trade", symbol, number, p=100 + number, v=10)
        return line.replace(b'"ts":null', b'"ts":"%b"' % MINUTE)

    index, board = f"IX{symbol}", f"board:STO.{symbol}"
    return {
        "trade": Walk(trade, symbol, None, 2, {"p": 102, "v": 10}),
        "bar": Walk(trade, symbol, 2, 4, {"o": 101, "h": 102, "l": 101, "c": 102, "v": 20, "closed": False}, False),
        "depth": Walk(book, symbol, 1, 2, {"b": [[100, 20], [99, 5]], "a": [[101, 7]]}),
        "quote": Walk(book, symbol, 1, 2, {"bp": 100, "bq": 20, "ap": 101, "aq": 7}, False),
        "book": Walk(book, symbol, 1, 2, {"kind": "delta", "b": [[100, 20]], "a": []}, False),
        "stats": Walk(source("stats", symbol, "X", o=100, c=101), symbol, 1, 2, {"o": 100, "c": 101}),
        "expected": Walk(source("expected", symbol, "ME", p=100, v=5, y=0), symbol, 1, 2, {"p": 100, "v": 5}),
        "foreign": Walk(source("foreign", symbol, "MF", room=7, limit=9), symbol, 1, 2, {"room": 7, "limit": 9}),
        "index": Walk(source("index", index, "M1", bd=None, value=1250.5), index, 1, 2, {"value": 1250.5}),
        "status": Walk(source("status", board, "f", ses="40"), board, 1, 2, {"ses": "40"}),
        "definition": Walk(source("definition", symbol, "d", name="Foo"), symbol, 1, 2, {"name": "Foo"}),
    }  # fmt: skip


class Listener:
    """Records and control messages as they come, of either encoding."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.records: list[dict[str, Any]] = []
        self.frames: list[bytes] = []
        self.controls: list[dict[str, Any]] = []
        self.take()  # the welcome

    def take(self) -> Any:
        data = self.socket.recv(timeout=WAIT_S)
        found: Any = json.loads(data) if isinstance(data, str) else unpack(data)
        if isinstance(found, list):
            self.records += found
            self.frames.append(data.encode() if isinstance(data, str) else data)
        else:
            self.controls.append(found)
        return found

    def ask(self, **message: Any) -> dict[str, Any]:
        self.socket.send(json.dumps(message))
        while True:
            found = self.take()
            if isinstance(found, dict) and found.get("id") == message["id"]:
                return found

    def until(self, number: int) -> list[dict[str, Any]]:
        """Everything up to the record of this number."""
        while not self.records or self.records[-1]["n"] < number:
            self.take()
        return self.records


@contextmanager
def listeners(server: Server) -> Iterator[tuple[Listener, Listener]]:
    """One for each encoding."""
    with ExitStack() as stack:
        json_one = stack.enter_context(server.connect())
        yield Listener(json_one), Listener(stack.enter_context(server.connect(subprotocols=["mdds.v1.msgpack"])))


def known(server: Server, channel: str, symbol: str, key: str = "full") -> None:
    """Until the gateway has heard of a symbol that was just published."""
    with server.connect(key) as socket:
        client = Client(socket)
        while not client.ask(op="sub", id=1, ch=channel, symbols=[symbol])["ok"]:
            pass


def test_the_table_is_whole() -> None:
    """`account` has a test in test_ways_in.py; `raw` has its own where it is served."""
    assert {*walks("X"), "raw", "account"} == set(CHANNELS)
    assert set(CHANNELS) >= protocol.CHANNELS >= set(CHANNELS) - {"raw"}


@pytest.mark.parametrize("channel", walks("X"))
def test_every_channel_in_both_encodings(server: Server, channel: str) -> None:
    walk = walks(f"CH{channel[:3].upper()}")[channel]
    server.publish(walk.make(1))
    known(server, channel, walk.symbol)
    with listeners(server) as (plain, packed):
        for one in (plain, packed):
            reply = one.ask(op="sub", id=1, ch=channel, symbols=[walk.symbol])
            assert (reply["ok"], reply["state"], reply["granted"]["timeliness"]) == (
                [walk.symbol],
                "running",
                "realtime",
            )
            if walk.first is not None:
                one.until(walk.first)
        line = walk.make(2)
        server.publish(line)
        for one in (plain, packed):
            records = one.until(walk.then)
            assert [row["n"] for row in records] == [number for number in (walk.first, walk.then) if number is not None]
            assert {(row["ch"], row["s"], row["ep"]) for row in records} == {(channel, walk.symbol, cast.EPOCH)}
            assert {name: records[-1][name] for name in walk.members} == walk.members
            assert {"q", "rx", "ts"} <= set(records[-1])
        assert packed.records == plain.records
        if walk.plain:
            assert plain.frames[-1] == b"[" + line + b"]"


def test_a_subscription_waits_and_then_runs(server: Server) -> None:
    """`init` is never seen from outside: a reply says `waiting` or `running`."""
    server.publish(cast.depth("LATER", 1))
    known(server, "depth", "LATER")
    with server.connect() as socket:
        one = Listener(socket)
        reply = one.ask(op="sub", id=1, ch="expected", symbols=["LATER"])
        assert (reply["ok"], reply["state"]) == (["LATER"], "waiting")
        assert one.ask(op="list", id=2)["subscriptions"][0]["state"] == "waiting"
        server.publish(cast.record("expected", "LATER", 1, p=1))
        one.until(1)
        assert one.controls[-1] == {"t": "state", "sid": reply["sid"], "state": "running"}
        assert one.ask(op="list", id=3)["subscriptions"][0]["state"] == "running"
        assert one.ask(op="unsub", id=4, sid=reply["sid"])["state"] == "closed"


def test_names_prefixes_and_everything(server: Server) -> None:
    server.publish(*(cast.trade(symbol, 1) for symbol in ("PRE1", "PRE2", "OTHER")))
    known(server, "trade", "OTHER")
    with server.connect() as by_prefix, server.connect() as by_star:
        one, other = Listener(by_prefix), Listener(by_star)
        assert one.ask(op="sub", id=1, ch="trade", symbols=["PRE*"], snapshot=False)["ok"] == ["PRE*"]
        assert other.ask(op="sub", id=1, ch="trade", symbols=["*"], snapshot=False)["ok"] == ["*"]
        # PRE3 is new to everybody.
        server.publish(cast.trade("PRE1", 2), cast.trade("OTHER", 2), cast.trade("PRE3", 1), cast.trade("PRE2", 3))
        assert [row["s"] for row in one.until(3)] == ["PRE1", "PRE3", "PRE2"]
        assert [row["s"] for row in other.until(3)] == ["PRE1", "OTHER", "PRE3", "PRE2"]


def test_boards_lean_fields_and_levels(server: Server) -> None:
    server.publish(cast.trade("FILT", 1), cast.depth("FILT", 1))
    known(server, "depth", "FILT")
    with ExitStack() as stack:
        boards, lean = (Listener(stack.enter_context(server.connect())) for _ in range(2))
        levels = {depth: Listener(stack.enter_context(server.connect())) for depth in (1, 5, 10, "full")}
        boards.ask(op="sub", id=1, ch="trade", symbols=["FILT"], boards=["G4"], snapshot=False)
        lean.ask(op="sub", id=1, ch="depth", symbols=["FILT"], fields="lean", snapshot=False)
        for depth, one in levels.items():
            reply = one.ask(op="sub", id=1, ch="depth", symbols=["FILT"], depth=depth, snapshot=False)
            assert reply["granted"]["depth"] == (10 if depth == "full" else depth)
        of_g4 = [cast.trade("FILT", number, bd=board) for number, board in ((2, "G4"), (3, "G1"), (4, "G4"))]
        server.publish(*of_g4, cast.depth("FILT", 2))
        assert [(row["n"], row["bd"], row["pn"] < row["n"]) for row in boards.until(4)] == [
            (2, "G4", True), (4, "G4", True),
        ]  # fmt: skip
        assert boards.records[1]["pn"] == 2
        assert not {"tb", "ta"} & set(lean.until(2)[0])
        assert {depth: len(one.until(2)[0]["b"]) for depth, one in levels.items()} == {1: 1, 5: 5, 10: 10, "full": 10}


def test_conflation_says_how_many_and_a_trade_flushes_the_quote_first(server: Server) -> None:
    server.publish(cast.depth("CONF", 1), cast.trade("CONF", 1))
    known(server, "trade", "CONF")
    with server.connect() as first, server.connect() as second:
        images, quotes = Listener(first), Listener(second)
        reply = images.ask(op="sub", id=1, ch="depth", symbols=["CONF"], conflate_ms=250, snapshot=False)
        assert reply["granted"]["conflate_ms"] == 250
        assert quotes.ask(op="sub", id=1, ch="quote", symbols=["CONF"], conflate_ms=1000, snapshot=False)["ok"]
        assert quotes.ask(op="sub", id=2, ch="trade", symbols=["CONF"], conflate_ms=1000)["granted"]["conflate_ms"] == 0
        server.publish(*(cast.depth("CONF", number) for number in range(2, 12)), cast.trade("CONF", 2))
        merged = images.until(11)
        assert sum(row["c"] for row in merged) == 10
        assert len(merged) <= 4
        while not any(row["ch"] == "trade" for row in quotes.records):
            quotes.take()
        at = next(at for at, row in enumerate(quotes.records) if row["ch"] == "trade")
        assert [(row["ch"], row["n"]) for row in quotes.records[at - 1 : at + 1]] == [("quote", 11), ("trade", 2)]
