"""A `run_gateway` process with keys of every kind, and clients of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from feeds.bus.base import Bus, Outgoing
from feeds.bus.factory import open_bus
from testbed.system import System
from tests.gateway import cast

WAIT_S = 20.0
# One subscriber for each kind of key; prints their secrets.
ROWS = """
import datetime, json
from django.conf import settings
from django.utils import timezone
from subscriptions import api_keys
from subscriptions.models import ApiKey, Contract, Entitlement, Product, Subscriber

now = timezone.now()
long_ago = datetime.date(2020, 1, 1)
narrow, _ = Product.objects.get_or_create(
    code="narrow", defaults={"name": "n", "markets": ["STO"], "channels": ["depth"], "level": 1})
Product.objects.get_or_create(
    code="flips", defaults={"name": "f", "markets": ["STO"], "channels": ["trade"], "level": 1})
kinds = {
    "full": ({"ops_per_s_max": 1000}, {}, "krx-realtime"),
    "narrow": ({}, {}, "narrow"),
    "delayed": ({}, {}, "krx-delayed"),
    "one": ({"sessions_max": 1, "symbols_max": 1, "ops_per_s_max": 1}, {}, "krx-realtime"),
    "oldest": ({"sessions_max": 1}, {}, "krx-realtime"),
    "ended": ({"ends_on": datetime.date(2020, 2, 1)}, {}, "krx-realtime"),
    "ending": ({}, {}, "krx-realtime"),
    "revoked": ({}, {"revoked_at": now}, "krx-realtime"),
    "expired": ({}, {"expires_at": now}, "krx-realtime"),
    "elsewhere": ({}, {"addresses": ["10.0.0.1"]}, "krx-realtime"),
    "told": ({}, {}, "krx-realtime"),
    "crowd": ({"sessions_max": 500}, {}, "krx-realtime"),
    "flips": ({"ops_per_s_max": 1000}, {}, "flips"),
}
secrets = {}
for name, (contract, key, product) in kinds.items():
    subscriber = Subscriber.objects.create(code=name, name=name)
    made = Contract.objects.create(subscriber=subscriber, number=name, starts_on=long_ago, **contract)
    Entitlement.objects.create(contract=made, product=Product.objects.get(code=product))
    secret = api_keys.generate()
    ApiKey.objects.create(
        subscriber=subscriber, name=name, public_id=secret.public_id, scopes=["stream", "replay"],
        digest=api_keys.digest(secret, site_secret=settings.SECRET_KEY), **key)
    secrets[name] = secret.text
print("secrets " + json.dumps(secrets))
"""


class Client:
    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def frame(self) -> Any:
        return json.loads(self.socket.recv(timeout=WAIT_S))

    def ask(self, **message: Any) -> Any:
        """The answer to an operation."""
        self.socket.send(json.dumps(message))
        return self.until("id", message.get("id"))

    def until(self, name: str, value: object) -> Any:
        """The next control message whose member has this value."""
        while True:
            found = self.frame()
            if isinstance(found, dict) and found.get(name) == value:
                return found

    def closed(self) -> tuple[int | None, dict[str, Any], list[Any]]:
        """The close code, its reason, and the frames before it."""
        frames = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                frames.append(self.frame())
        return self.socket.close_code, json.loads(self.socket.close_reason or "{}"), frames


class Server:
    def __init__(self, folder: Path, base_port: int, bus: str) -> None:
        self.system = System(folder / "data", base_port, bus=bus, extra={"MDDS_PARTITIONS": "1"})
        self.secrets: dict[str, str] = {}
        self._numbers: dict[int, itertools.count[int]] = {}  # by numbering

    def start(self) -> None:
        self.system.prepare()
        printed = self.system.manage("shell", "-c", ROWS)
        self.secrets = json.loads(printed.split("secrets ", 1)[1].splitlines()[0])
        self.system.start("gateway", "run_gateway")
        deadline = time.monotonic() + 60
        while True:
            try:
                with self.connect("full") as socket:
                    Client(socket).frame()
                    return
            except (OSError, InvalidHandshake):
                assert time.monotonic() < deadline, self.system.log("gateway")
                time.sleep(0.2)

    def connect(self, key: str | None = "full", *, query: str = "", **options: Any) -> ClientConnection:
        """`key`: a kind of key, a secret of the caller's own, or None."""
        headers = {} if key is None else {"Authorization": f"Bearer {self.secrets.get(key, key)}"}
        options.setdefault("subprotocols", ["mdds.v1.json"])
        url = self.system.stream_url + query
        return connect(url, additional_headers=headers, compression=None, max_queue=None, **options)

    def publish(self, *lines: bytes, run: int = 1) -> None:
        """One PARSED message of one record each, through RabbitMQ."""
        asyncio.run(self._publish(lines, run))

    def open_bus(self) -> Bus:
        return open_bus(
            self.system.environ["MDDS_BUS"], prefix=f"mdds{self.system.base_port}", data_dir=self.system.data_dir,
            partitions=1,
        )  # fmt: skip

    def headers(self, count: int, *, run: int = 1) -> dict[str, object]:
        """Of the next PARSED message with so many records; `run` is the numbering of a parser."""
        numbers = self._numbers.setdefault(run, itertools.count(1))
        first, now_ns = next(numbers), time.time_ns()
        last = first
        for _ in range(count - 1):
            last = next(numbers)
        return {
            "feed": "STO", "epoch": 2026112001, "origin": "live", "partition": 0, "run": run, "first": first,
            "last": last, "t_rx": now_ns, "t_pub": now_ns,
        }  # fmt: skip

    async def _publish(self, lines: tuple[bytes, ...], run: int) -> None:
        bus = self.open_bus()
        await bus.open()
        try:
            outbox = bus.parsed_outbox()
            for line in lines:
                await outbox.put(Outgoing(0, line, self.headers(1, run=run)))
            await asyncio.wait_for(outbox.drained(), WAIT_S)
        finally:
            await bus.close()

    def publish_first(self) -> None:
        """Streams of FPT and VNM that everybody can subscribe to."""
        lines = [cast.trade(symbol, number) for symbol in ("FPT", "VNM") for number in (1, 2, 3)]
        self.publish(*lines, cast.depth("FPT", 1), cast.depth("VNM", 1))
        with self.connect() as socket:
            client = Client(socket)
            deadline = time.monotonic() + WAIT_S
            while not client.ask(op="sub", id="known", ch="trade", symbols=["FPT", "VNM"])["ok"]:
                assert time.monotonic() < deadline, "records did not arrive"
                time.sleep(0.1)
