"""Rights while stores fail, with real services: F32 Redis down, F33 PostgreSQL down, F41 a key revoked, F42 a flip."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from feeds.bus.base import Outgoing
from feeds.bus.factory import open_bus
from testbed.postgresql import PrivatePostgreSQL
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.redis import PrivateRedis
from tests.gateway import cast
from tests.gateway.test_run_gateway import gateway_process, manage, open_stream

pytestmark = pytest.mark.services

BUDGET_S = 1.0
OUTAGE_S = 8.0  # of the database: so long that a pool which doubles its waits would look again in eight seconds only
BACK_S_MAX = 15.0  # from the database's return until a client that comes back as it is told has its session
KEYS = """
from django.conf import settings
from subscriptions import api_keys
from subscriptions.models import ApiKey, Subscriber
owner = Subscriber.objects.get(code="demo")
for number in range(4):
    secret = api_keys.generate()
    digest = api_keys.digest(secret, site_secret=settings.SECRET_KEY)
    ApiKey.objects.create(subscriber=owner, name=f"key {number}", public_id=secret.public_id, digest=digest)
    print(secret.text)
"""
REVOKE = """
import time
from django.utils import timezone
from subscriptions.models import ApiKey
key = ApiKey.objects.get(public_id="{key}")
key.revoked_at = timezone.now()
key.save()
print("committed", time.time())
"""
# Another contract of the same subscriber would do as well: the flip is the product's channels, which concerns all.
FLIP = """
import time
from subscriptions.models import Product
row = Product.objects.get(code="krx-realtime")
row.channels = [name for name in row.channels if name != "trade"] if {off} else [*row.channels, "trade"]
row.save()
print("committed", time.time())
"""


def run(environ: dict[str, str], code: str) -> str:
    done = manage(environ, "shell", "-v0", "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def committed_at(environ: dict[str, str], code: str) -> float:
    """When another process committed the change: measured there before its notice went out, or just after."""
    return float(run(environ, code).split("committed ")[1])


@contextmanager
def publishing(environ: dict[str, str]) -> Iterator[None]:
    """A trade of FPT every 20 ms, through the real bus, until the end of the block."""
    stop = threading.Event()

    async def publish() -> None:
        bus = open_bus(
            environ["MDDS_BUS"], prefix=f"mdds{environ['MDDS_PORT']}", data_dir=Path(environ["MDDS_DATA"]), partitions=4
        )
        await bus.open()
        outbox, number = bus.parsed_outbox(), 0
        while not stop.is_set():
            number += 1
            headers = {
                "feed": "STO", "epoch": 2026112001, "origin": "live", "partition": 0, "run": 1,
                "first": number, "last": number, "t_rx": time.time_ns(), "t_pub": time.time_ns(),
            }  # fmt: skip
            await outbox.put(Outgoing(0, cast.trade("FPT", number, made=time.time()), headers))
            await asyncio.sleep(0.02)
        await bus.close()

    thread = threading.Thread(target=lambda: asyncio.run(publish()))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(15)
        assert not thread.is_alive(), "the publisher hangs"


class Reader:
    """Takes every frame as it comes. When a record was made counts, not when this thread got round to reading it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.last_made_s = 0.0
        self.numbers: list[int] = []
        self.control: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                frame = json.loads(self.socket.recv())
                if isinstance(frame, list):
                    self.last_made_s = frame[-1]["made"]
                    self.numbers += [one["n"] for one in frame]
                else:
                    self.control.append(frame)
        except ConnectionClosed:
            return

    def ended(self) -> int | None:
        self._thread.join(15)
        assert not self._thread.is_alive(), "the session goes on"
        return self.socket.close_code

    def goes_on(self) -> None:
        """A hundred further records, each one more than the last."""
        begin = len(self.numbers)
        until(lambda: len(self.numbers) >= begin + 100, "records go on")
        assert self.numbers == list(range(self.numbers[0], self.numbers[0] + len(self.numbers)))

    def said(self, code: str) -> bool:
        return any(one.get("code") == code for one in self.control)


def until(true: Any, what: str, wait_s: float = 20.0) -> None:
    deadline = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < deadline, f"waited {wait_s} s in vain: {what}"
        time.sleep(0.02)


def follow(environ: dict[str, str], key: str, process: Any) -> Reader:
    socket = open_stream(int(environ["MDDS_PORT"]) + 1, key, process)
    socket.send(json.dumps({"op": "sub", "ch": "trade", "symbols": ["FPT"]}))
    reader = Reader(socket)
    until(lambda: reader.numbers, "the first record")
    return reader


def comes_back(environ: dict[str, str], key: str, process: Any) -> Reader:
    """As a client does: while it is told that keys cannot be checked it waits for as long as it is told."""
    while True:
        reader = Reader(open_stream(int(environ["MDDS_PORT"]) + 1, key, process))
        reader.socket.send(json.dumps({"op": "sub", "ch": "trade", "symbols": ["FPT"]}))
        until(lambda reader=reader: reader.numbers or reader.socket.close_code, "records, or a refusal")
        if reader.numbers:
            return reader
        assert (reader.socket.close_code, reader.said("OVERLOADED")) == (4000, True)
        time.sleep(json.loads(reader.socket.close_reason)["retry_after_ms"] / 1000)


def public_id(key: str) -> str:
    return key.removeprefix("mdds_live_")[:8]


def test_rights_hold_while_the_stores_fail(
    rabbitmq: PrivateRabbitMQ, redis_server: PrivateRedis, postgresql: PrivatePostgreSQL, base_port: int, tmp_path: Path
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MDDS_")}
    environ = kept | {
        "MDDS_DATA": str(tmp_path), "MDDS_PORT": str(base_port), "MDDS_BUS": rabbitmq.url,
        "MDDS_REDIS": redis_server.url, "MDDS_DATABASE": postgresql.create_database(f"rights_{os.getpid()}"),
    }  # fmt: skip
    assert manage(environ, "migrate", "-v0").returncode == 0
    assert manage(environ, "setup_demo").returncode == 0
    first, second, lasting, third = run(environ, KEYS).split()
    with publishing(environ), gateway_process(environ) as process:
        stays = follow(environ, lasting, process)
        # F41: a key revoked mid-stream
        reader = follow(environ, first, process)
        at_s = committed_at(environ, REVOKE.format(key=public_id(first)))
        assert reader.ended() == 4401
        assert reader.said("KEY_REVOKED")
        assert reader.last_made_s <= at_s + BUDGET_S
        # F32: Redis down harms no session; F41 and F42 hold without it
        reader = follow(environ, second, process)
        redis_server.kill()
        stays.goes_on()
        at_s = committed_at(environ, REVOKE.format(key=public_id(second)))
        assert reader.ended() == 4401
        assert reader.last_made_s <= at_s + BUDGET_S
        at_s = committed_at(environ, FLIP.format(off=True))
        until(lambda: stays.said("NOT_ENTITLED"), "the flip is told")
        time.sleep(BUDGET_S)
        assert stays.last_made_s <= at_s + BUDGET_S
        committed_at(environ, FLIP.format(off=False))
        redis_server.start()
        # F33: PostgreSQL down: live sessions go on, new logins fail closed
        until(lambda: _resubscribed(stays), "the right is back")
        postgresql.kill()
        begin = len(stays.numbers)
        until(lambda: len(stays.numbers) >= begin + 100, "records go on")
        refused = Reader(open_stream(int(environ["MDDS_PORT"]) + 1, third, process))
        assert refused.ended() == 4000
        assert (refused.said("OVERLOADED"), refused.numbers) == (True, [])
        time.sleep(OUTAGE_S)
        postgresql.start()
        back_s = time.monotonic()
        comes_back(environ, third, process).goes_on()
        assert time.monotonic() - back_s < BACK_S_MAX
        assert stays.socket.close_code is None


def _resubscribed(reader: Reader) -> bool:
    """Asks again until the gateway knows that the right is back."""
    begin = len(reader.numbers)
    reader.socket.send(json.dumps({"op": "sub", "ch": "trade", "symbols": ["FPT"]}))
    time.sleep(0.3)
    return len(reader.numbers) > begin
