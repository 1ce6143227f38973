"""The SDK over the same three breaks: a cut, a killed gateway, another gateway; every trade once, and no gap told."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from mdds_client import AsyncClient, Gap
from testbed.rabbitmq import PrivateRabbitMQ
from testbed.system import make_tables
from testbed.tcp_proxy import TcpProxy
from tests.client_faults.light import run
from tests.end_to_end.test_resume_raw import BACK_S_MAX, SYMBOLS, Follower, Gateways, Publisher, until
from tests.gateway.test_run_gateway import manage

pytestmark = [pytest.mark.services, pytest.mark.slow]

FOLLOWED = SYMBOLS[:3]


class Program:
    """What a program with the SDK gets of one symbol."""

    def __init__(self, url: str, key: str, symbol: str) -> None:
        self.url, self.key, self.symbol = url, key, symbol
        self.numbers: list[int] = []
        self.gaps: list[Gap] = []

    async def run(self) -> None:
        async with AsyncClient(self.url, self.key, on_gap=self.gaps.append) as client:
            async for record in await client.subscribe("trade", [self.symbol]):
                self.numbers.append(record.n)


async def story(gateways: Gateways, proxy: TcpProxy, key: str) -> None:
    stop, publisher = asyncio.Event(), Publisher(gateways.environ)
    publishing = asyncio.create_task(publisher.run(stop))
    await asyncio.wait_for(Follower(key, SYMBOLS).connect(gateways.port(0)), BACK_S_MAX)
    await until(lambda: publisher.sent > 1_000, lambda: "records flow")
    url = f"ws://127.0.0.1:{proxy.port}/stream/v1"
    programs = [Program(url, key, symbol) for symbol in FOLLOWED]
    running = [asyncio.create_task(one.run()) for one in programs]

    async def all_are_there() -> None:
        goal = {symbol: publisher.last(symbol) for symbol in FOLLOWED}
        await until(
            lambda: all(one.numbers and one.numbers[-1] >= goal[one.symbol] for one in programs),
            lambda: [(one.numbers[-1:], one.gaps) for one in programs],
        )

    await all_are_there()
    await asyncio.to_thread(proxy.reset)
    await all_are_there()
    gateways.kill(0)
    await asyncio.sleep(2.0)
    gateways.start(0)
    await all_are_there()
    gateways.start(1)
    await asyncio.wait_for(Follower(key, SYMBOLS[:1]).connect(gateways.port(1)), BACK_S_MAX)
    proxy.target_port = gateways.port(1)
    await asyncio.to_thread(proxy.reset)
    await all_are_there()
    stop.set()
    await publishing
    await all_are_there()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for one in programs:
        assert one.gaps == []
        assert one.numbers == list(range(one.numbers[0], publisher.last(one.symbol) + 1))


def test_a_program_with_the_sdk_misses_nothing(rabbitmq: PrivateRabbitMQ, base_port: int, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MDDS_")}
    environ = kept | {"MDDS_DATA": str(tmp_path), "MDDS_PORT": str(base_port), "MDDS_BUS": rabbitmq.url}
    make_tables(environ)
    key = manage(environ, "setup_demo").stdout.split("key: ")[1].split()[0]
    gateways = Gateways(environ)
    try:
        gateways.start(0)
        with TcpProxy(gateways.port(0)) as proxy:
            run(story(gateways, proxy, key))
    finally:
        gateways.close()
