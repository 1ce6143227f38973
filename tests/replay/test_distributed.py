"""A replay through everything: a client's `replay`, a job, RabbitMQ, a real Celery worker, parser, gateway, client."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from testbed.ports import free_base_port
from testbed.postgresql import PrivatePostgreSQL
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.redis import PrivateRedis
from testbed.system import ROOT, System
from tests.api import recorded

pytestmark = [pytest.mark.services, pytest.mark.slow]
WAIT_S = 90.0
SYMBOL = "FPT"


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory,
    rabbitmq: PrivateRabbitMQ,
    redis_server: PrivateRedis,
    postgresql: PrivatePostgreSQL,
) -> Iterator[System]:
    """A journal and who plays it: parser, gateway and Celery worker, each a process."""
    base_port = free_base_port()
    one = System(
        tmp_path_factory.mktemp("replay") / "data",
        base_port,
        bus=rabbitmq.url,
        redis=redis_server.url,
        database=postgresql.create_database(f"replay{base_port}"),
    )
    try:
        one.prepare()
        recorded.write(one.data_dir / "journal" / "STO", 1)
        one.start_workers(("run_parser", "run_gateway"))
        start_celery(one)
        yield one
    finally:
        one.close()


def start_celery(system: System) -> None:
    command = [sys.executable, "-m", "celery", "-A", "mdds_site.celery", "worker", "--pool", "threads", "-c", "2"]
    with (system.data_dir / "celery.log").open("ab") as log:
        system.processes["celery"] = subprocess.Popen(
            command, cwd=ROOT, env=system.environ, stdout=log, stderr=subprocess.STDOUT
        )


@pytest.fixture
def client(system: System) -> Iterator[ClientConnection]:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            socket = connect(system.stream_url, additional_headers={"Authorization": f"Bearer {system.key}"})
            break
        except (OSError, WebSocketException):
            assert time.monotonic() < deadline, system.log("run_gateway")[-2000:]
            time.sleep(0.2)
    with socket:
        assert json.loads(socket.recv(WAIT_S))["t"] == "welcome"
        yield socket


def until_end(client: ClientConnection) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The records up to the notice that the replay has ended, and the notice."""
    records: list[dict[str, Any]] = []
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        frame = json.loads(client.recv(WAIT_S))
        if isinstance(frame, list):
            records += frame
        elif frame.get("code") == "REPLAY_END":
            return records, frame
        else:
            assert frame["t"] in ("state", "hb", "replay", "ctl"), frame
    raise AssertionError(f"no end after {len(records)} records")


def expected(folder: Path, channel: str) -> list[tuple[object, object]]:
    rows = recorded.parsed(folder / "journal" / "STO", 1)
    return [(row["rx"], row["q"]) for row in rows if (row["ch"], row["s"]) == (channel, SYMBOL)]


def ask(client: ClientConnection, **message: Any) -> dict[str, Any]:
    client.send(json.dumps(message))
    while isinstance(reply := json.loads(client.recv(WAIT_S)), list) or reply["t"] == "hb":
        pass
    return reply


RANGE = {"start": "2026-11-20T02:15:00Z", "end": "2026-11-20T02:20:00Z"}


def test_a_replay_brings_every_record_once(system: System, client: ClientConnection) -> None:
    reply = ask(client, op="replay", id=1, ch="trade", symbols=[SYMBOL], speed=0, **RANGE)
    assert reply["ok"] == [SYMBOL], reply
    records, end = until_end(client)
    assert (end["state"], {one["job"] for one in records}) == ("completed", {reply["origin"]})
    assert [(one["rx"], one["q"]) for one in records] == expected(system.data_dir, "trade")
    assert [one["n"] for one in records] == list(range(1, len(records) + 1))


def test_a_pause_holds_it_and_a_seek_goes_back_in_a_new_epoch(system: System, client: ClientConnection) -> None:
    reply = ask(client, op="replay", id=1, ch="trade", symbols=[SYMBOL], speed=20, **RANGE)
    sid, first = reply["sid"], {"rx": 0}
    while "q" not in first:
        frame = json.loads(client.recv(WAIT_S))
        first = frame[0] if isinstance(frame, list) else first
    assert ask(client, op="ctl", id=2, sid=sid, do="pause")["do"] == "pause"
    client.send(json.dumps({"op": "ctl", "id": 3, "sid": sid, "do": "seek", "to": "2026-11-20T02:17:00Z"}))
    client.send(json.dumps({"op": "ctl", "id": 4, "sid": sid, "do": "resume"}))
    records, end = until_end(client)
    after = [one for one in records if one["ep"] > str(first["ep"])]
    low_ns = recorded.START_NS + 120 * recorded.NS
    assert end["state"] == "completed"
    assert [(one["rx"], one["q"]) for one in after] == [
        row for row in expected(system.data_dir, "trade") if int(str(row[0])) >= low_ns
    ]
    assert [one["n"] for one in after] == list(range(1, len(after) + 1))


def test_after_a_pause_it_goes_on_where_it_was(system: System, client: ClientConnection) -> None:
    reply = ask(client, op="replay", id=1, ch="trade", symbols=[SYMBOL], speed=20, **RANGE)
    records: list[dict[str, Any]] = []
    while not records:
        frame = json.loads(client.recv(WAIT_S))
        records += frame if isinstance(frame, list) else []
    for number, do in enumerate(("pause", "resume"), start=2):
        client.send(json.dumps({"op": "ctl", "id": number, "sid": reply["sid"], "do": do}))
    rest, end = until_end(client)
    records += rest
    assert end["state"] == "completed"
    assert [(one["rx"], one["q"]) for one in records] == expected(system.data_dir, "trade")
    assert [one["n"] for one in records] == list(range(1, len(records) + 1))


def test_a_cancel_ends_it_at_once_and_its_job(system: System, client: ClientConnection) -> None:
    reply = ask(client, op="replay", id=1, ch="trade", symbols=[SYMBOL], speed=20, **RANGE)
    while not isinstance(json.loads(client.recv(WAIT_S)), list):
        pass
    assert ask(client, op="ctl", id=2, sid=reply["sid"], do="cancel")["do"] == "cancel"
    assert ask(client, op="list", id=3)["subscriptions"] == []
    assert ask(client, op="ctl", id=4, sid=reply["sid"], do="resume")["code"] == "NOT_SUBSCRIBED"
    asked = f"from replay.models import ReplayJob; print(ReplayJob.objects.get(pk={reply['origin'][7:]}).state)"
    deadline = time.monotonic() + WAIT_S
    while (state := system.manage("shell", "-v0", "-c", asked).strip()) != "cancelled":
        assert time.monotonic() < deadline, state
    client.send('{"op":"ping","id":5}')
    while (frame := json.loads(client.recv(WAIT_S)))["t"] == "hb":
        pass
    assert frame["t"] == "pong", "nothing of it after the cancel"
