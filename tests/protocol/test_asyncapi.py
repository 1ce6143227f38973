"""asyncapi.yaml and the running server say the same: its examples are accepted, and every frame fits its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from subscriptions import protocol
from subscriptions.gateway import replays
from subscriptions.gateway.layer import GatewaySettings
from tests.gateway import cast
from tests.gateway.running import Client, running
from tests.gateway.test_replays import Players, ends

DOCUMENT: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "docs/protocol/asyncapi.yaml").read_text())
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
SENT_BY = {
    action: [reference["$ref"].rpartition("/")[2] for reference in DOCUMENT["operations"][action]["messages"]]
    for action in ("send", "hear")
}
NAME_OF_T = {
    "welcome": "welcome", "sub": "subscribed", "set": "changed", "state": "state", "unsub": "unsubscribed",
    "pong": "pong", "list": "listing", "replay": "replaying", "ctl": "controlled", "error": "error",
    "notice": "notice", "gap": "gap", "resumed": "resumed", "hb": "hb",
}  # fmt: skip


def check(name: str, payload: object) -> None:
    schema = {**MESSAGES[name]["payload"], "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate(payload)


def examples(action: str) -> list[tuple[str, Any]]:
    return [(name, one["payload"]) for name in SENT_BY[action] for one in MESSAGES[name]["examples"]]


def test_the_document_is_whole() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert (
        set(MESSAGES) == set(SENT_BY["send"]) | set(SENT_BY["hear"]) == set(DOCUMENT["channels"]["stream"]["messages"])
    )
    assert set(SENT_BY["hear"]) == {*NAME_OF_T.values(), "records"}
    assert set(SENT_BY["send"]) == set(protocol._READERS)


@pytest.mark.parametrize(("name", "payload"), examples("send") + examples("hear"))
def test_every_example_fits_its_own_schema(name: str, payload: object) -> None:
    check(name, payload)


@pytest.mark.parametrize(("name", "payload"), examples("send"))
def test_every_example_of_a_client_is_an_operation(name: str, payload: Any) -> None:
    operation = protocol.parse(json.dumps(payload))
    assert operation.id == payload.get("id")


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("sub", {"op": "sub", "ch": "depth", "symbols": []}),
        ("sub", {"op": "sub", "ch": "depth", "symbols": ["FPT"], "depth": 4}),
        ("sub", {"op": "sub", "ch": "depth", "symbols": ["FPT"], "more": 1}),
        ("auth", {"op": "auth", "key": "a", "token": "b"}),
        ("replay", {"op": "replay", "ch": "trade", "symbols": ["FPT"]}),
        ("ctl", {"op": "ctl", "sid": 1, "do": "stop"}),
        ("set", {"op": "set", "sid": 1, "conflate_ms": 7}),
        ("list", {"op": "list", "ch": "nothing"}),
    ],
)
def test_what_the_schema_refuses_the_server_refuses(name: str, payload: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(name, payload)
    with pytest.raises(protocol.ProtocolError):
        protocol.parse(json.dumps(payload))


class Listening:
    """A client that checks every frame against the document and remembers which kinds it saw."""

    def __init__(self, client: Client) -> None:
        self.client, self.seen = client, set[str]()

    def frame(self) -> Any:
        frame = self.client.frame()
        name = "records" if isinstance(frame, list) else NAME_OF_T[frame["t"]]
        check(name, frame)
        self.seen.add(name)
        return frame

    def until(self, name: str) -> Any:
        for _ in range(20):
            frame = self.frame()
            if (isinstance(frame, list) and name == "records") or (isinstance(frame, dict) and frame["t"] == name):
                return frame
        raise AssertionError(f"no {name} among 40 frames")

    def ask(self, payload: dict[str, Any]) -> Any:
        self.client.send(**payload)
        return self.until(payload["op"].replace("ping", "pong").replace("auth", "welcome"))


def test_a_running_server_answers_the_examples_and_every_frame_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    players = Players()
    monkeypatch.setattr(replays, "_port", players)
    with running(tmp_path, settings=GatewaySettings(flush_ms=5, heartbeat_s=1)) as gateway:
        client = Listening(gateway.connect(None))
        client.until("welcome")
        gateway.publish(cast.trade("FPT", 18_230), cast.depth("SHS", 1, m="STX"), cast.record("stats", "FPT", 1))
        for name in ("auth", "sub", "set", "ping", "list"):
            for one in MESSAGES[name]["examples"]:
                assert client.ask(one["payload"]).get("id") == one["payload"].get("id")
        gateway.publish(cast.depth("FPT", 2), cast.trade("FPT", 18_231), cast.depth("SHS", 2, m="STX"))
        client.until("records")
        sid = client.ask(MESSAGES["replay"]["examples"][0]["payload"])["sid"]
        for one in MESSAGES["ctl"]["examples"][:-1]:
            players.calls.clear()
            client.ask(
                {**one["payload"], "sid": sid, **({"to": "2026-11-20T02:30:00Z"} if "to" in one["payload"] else {})}
            )
        gateway.publish(cast.trade("VNM", 1, job="replay:12"), origin="replay:12")
        ends(gateway, "replay:12", 0, 1)
        gateway.until(lambda: any(call[0] == "extend" for call in players.calls), "it goes on")
        ends(gateway, "replay:12", 0, 1)
        client.until("notice")
        assert client.ask({**MESSAGES["unsub"]["examples"][0]["payload"], "sid": sid})["state"] == "closed"
        client.client.send(op="unsub", id=99, sid=99)
        client.until("error")
        fresh = Listening(gateway.connect())
        fresh.until("welcome")
        resume = {"op": "sub", "id": 1, "ch": "trade", "symbols": ["FPT"], "resume": {"FPT": [cast.EPOCH, 18_230]}}
        fresh.ask(resume)
        fresh.until("resumed")
        third = Listening(gateway.connect())
        third.until("welcome")
        third.ask({**resume, "resume": {"FPT": ["20200101-1", 5]}})
        third.until("gap")
        third.until("hb")
        assert client.seen | fresh.seen | third.seen == set(SENT_BY["hear"])
