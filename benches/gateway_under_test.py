"""One real gateway process on a private RabbitMQ, with demo rights, for the benchmarks of delivery."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

from benches.precedence import prioritized
from mdds_site.env import METRICS_KINDS
from testbed.ports import free_base_port
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.system import ROOT, System, die_with_parent

START_S_MAX = 60.0


class Talker:
    """A benchmark's own process: it is told lines and answers lines."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, preexec_fn=die_with_parent,
        )  # fmt: skip

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a process of the benchmark ended with {self.process.wait()}: see above")
        return line.strip()

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.hear()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class GatewayUnderTest:
    def __init__(
        self,
        folder: Path,
        *,
        flush_ms: int = 10,
        priority: int = 0,
        cpus: tuple[int, ...] = (),
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """`cpus`: the gateway's; none: any."""
        self.broker = PrivateRabbitMQ()
        self._folder = folder
        self._priority = priority
        self._extra = {
            "MDDS_FLUSH_MS": str(flush_ms), "MDDS_PARTITIONS": "1", "MDDS_PRIORITY": str(priority),
            "MDDS_GATEWAY_CPUS": ",".join(map(str, cpus)), **(extra or {}),
        }  # fmt: skip
        self.system: System

    def __enter__(self) -> GatewayUnderTest:
        self.broker.start()
        print(prioritized(self._priority, self.broker.pid))
        self.system = System(self._folder / "data", free_base_port(), bus=self.broker.url, extra=self._extra)
        try:
            self.system.prepare()
            self.raise_limits()
            self.system.start("gateway", "run_gateway")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.system.close()
        self.broker.close()

    @property
    def port(self) -> int:
        return self.system.base_port + 1

    @property
    def metrics_port(self) -> int:
        return self.system.base_port + 20 + 8 * METRICS_KINDS.index("gateway")

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.system.processes["gateway"].pid)

    def raise_limits(self) -> None:
        """The demo's contract, for a load that one subscriber would not have."""
        text = (
            "from subscriptions.models import Contract; "
            "Contract.objects.update(sessions_max=100_000, symbols_max=100_000, ops_per_s_max=1_000)"
        )
        self.system.manage("shell", "-c", text)

    def injected_into(self) -> dict[str, Any]:
        """What `benches.inject` is told about where to publish."""
        prefix = f"mdds{self.system.base_port}"
        return {"to": "bus", "url": self.broker.url, "prefix": prefix, "folder": str(self.system.data_dir)}

    def until_listening(self) -> None:
        self._until(lambda client: True, "the gateway listens")

    def until_known(self, symbol: str, *, channel: str = "trade") -> None:
        """Until the gateway has had a record of the symbol: it takes subscriptions then."""

        def known(client: Any) -> bool:
            client.recv(timeout=10)
            client.send(json.dumps({"op": "sub", "ch": channel, "symbols": [symbol]}))
            return not json.loads(client.recv(timeout=10))["errors"]

        self._until(known, f"{symbol} is known")

    def _until(self, done: Any, what: str) -> None:
        deadline = time.monotonic() + START_S_MAX
        url, headers = f"ws://127.0.0.1:{self.port}/stream/v1", {"Authorization": f"Bearer {self.system.key}"}
        while True:
            try:
                with connect(url, additional_headers=headers, compression=None, close_timeout=0.2) as client:
                    if done(client):
                        return
            except (OSError, InvalidHandshake):
                pass
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {START_S_MAX:.0f} s: {what}\n{self.system.log('gateway')}")
            time.sleep(0.2)


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
