"""F05 to F11: the broker restarted, killed, frozen, out of memory, refusing, slow, reset, without its queues."""

from __future__ import annotations

import asyncio
import os
import time

import aio_pika
import pytest

from testbed.evidence import published_gaps
from testbed.live_path import LivePath
from testbed.rabbitmq import VHOST, PrivateRabbitMQ
from testbed.tcp_proxy import TcpProxy
from tests.faults.conftest import Started, assert_invariants, healed, records

pytestmark = [pytest.mark.services]

RATE = 1_200
FROZEN_S = float(os.environ.get("FAULT_FROZEN_S") or 6.0)  # 30 s in bin/soak
ALARM_S = 2.0
REFUSED_FROM_BYTES = 100_000  # that wait in one partition's queue


def started(live: Started, **options: object) -> LivePath:
    path = live(**options)
    path.start_all()
    path.start_exchange(rate=RATE)
    path.flow_on(600)
    return path


def assert_lossless(path: LivePath) -> None:
    """After the fault: everything converges, nothing was lost on the way."""
    found = healed(path, drained_s_max=60.0)
    assert_invariants(path, found)
    assert published_gaps(records(found)) == {}


def test_f05_f06_restarted_and_killed(live: Started, rabbitmq: PrivateRabbitMQ) -> None:
    path = started(live)
    rabbitmq.write_down()
    rabbitmq.kill()
    path.flow_on(600)
    confirmed = parsed_confirmed(path)
    rabbitmq.start()
    # Not before: RabbitMQ 3.10 stopped while it recovers its streams from a crash never opens them again.
    path.wait_until(lambda: parsed_confirmed(path) > confirmed, "PARSED goes on")
    rabbitmq.ctl("stop_app")
    rabbitmq.ctl("start_app")
    assert_lossless(path)


def parsed_confirmed(path: LivePath) -> int:
    confirmed: int = path.stats("parser-0")["bus"]["confirmed"]
    return confirmed


def test_f07_frozen(live: Started, rabbitmq: PrivateRabbitMQ) -> None:
    path = started(live)
    rabbitmq.pause()
    time.sleep(FROZEN_S)
    rabbitmq.resume()
    assert_lossless(path)


def test_f08_memory_alarm(live: Started, rabbitmq: PrivateRabbitMQ) -> None:
    """Publishing connections are blocked; the journal keeps what comes."""
    path = started(live)
    rabbitmq.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        time.sleep(ALARM_S)
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    assert_lossless(path)


def test_f09_reject_publish(live: Started, rabbitmq: PrivateRabbitMQ) -> None:
    """A full RAW queue refuses what comes; the publisher offers it again, in order, until a parser makes room."""
    path = started(live)
    bound = f'{{"max-length-bytes":{REFUSED_FROM_BYTES}}}'
    rabbitmq.ctl("set_policy", "-p", VHOST, path.prefix, rf"^{path.prefix}\.raw\.live", bound, "--apply-to", "queues")
    try:
        path.kill("parser-0")
        path.wait_until(lambda: path.stats("publisher")["backlog_bytes"] > REFUSED_FROM_BYTES, "RAW refuses")
        refused = path.stats("publisher")["backlog_bytes"]
        path.wait_until(lambda: path.stats("publisher")["backlog_bytes"] > 2 * refused, "and what comes waits")
        path.start("parser-0")
        path.wait_ready("parser-0")
        assert_lossless(path)
    finally:
        rabbitmq.ctl("clear_policy", "-p", VHOST, path.prefix)


def test_f10_slow_sliced_reset_and_silent_connection(live: Started, rabbitmq: PrivateRabbitMQ) -> None:
    with TcpProxy(rabbitmq.port) as proxy:
        path = live()
        path.start("capture")
        slow = path.bus.replace(f":{rabbitmq.port}/", f":{proxy.port}/")
        for name in ("publisher", "parser-0"):
            path.start(name, bus=slow)
        path.relay.start()
        for name in ("capture", "publisher", "parser-0"):
            path.wait_ready(name)
        path.start_exchange(rate=RATE)
        path.flow_on(400)
        proxy.latency_s = 0.02
        path.flow_on(400)
        proxy.latency_s, proxy.slice_bytes = 0.0, 100
        path.flow_on(200)
        proxy.slice_bytes = 0
        for _ in range(2):
            proxy.reset()
            path.flow_on(300)
        proxy.blackhole()
        path.flow_on(600)
        proxy.heal()
        assert_lossless(path)
        assert proxy.connections > 6


def test_f11_queue_deleted_and_unroutable(live: Started) -> None:
    """A deleted queue takes along what waits in it, so nothing waits: the next publish is unroutable, is refused, and
    comes again when the publisher has declared the queue anew."""
    path = started(live, tap=False)  # with a tap bound to it nothing is unroutable
    path.pause("publisher")
    time.sleep(1.2)  # the parser takes, confirms and acknowledges what there is: a checkpoint is due twice a second
    path.kill("parser-0")
    asyncio.run(delete_queue(path, 0))
    path.resume("publisher")
    path.flow_on(300)
    path.start("parser-0")
    path.wait_ready("parser-0")
    assert_lossless(path)


def test_f11_queue_deleted_with_what_was_confirmed_in_it(live: Started) -> None:
    """What the broker confirmed and lost is in the journal: the parser asks, the publisher goes back."""
    path = started(live, tap=False)
    time.sleep(1.5)  # a checkpoint is kept each second: a parser that knows nothing misses nothing
    path.kill("parser-0")
    path.flow_on(600)
    time.sleep(0.5)  # what is on its way to the queues gets there
    for partition in range(path.partitions):
        asyncio.run(delete_queue(path, partition, if_empty=False))
    path.flow_on(600)
    path.start("parser-0")
    path.wait_ready("parser-0")
    path.wait_until(lambda: path.stats("parser-0")["filled"] > 0, "the publisher went back")
    assert_lossless(path)
    assert path.stats("parser-0")["jumps"] == 0, f"{path.log('parser-0')}\n{path.stats('parser-0')}"


def test_f11_queue_deleted_and_its_publisher_killed(live: Started) -> None:
    """The next publisher goes back into the time of the one before."""
    path = started(live, tap=False)
    time.sleep(1.5)  # a checkpoint is kept each second: a parser that knows nothing misses nothing
    path.kill("parser-0")
    path.flow_on(600)
    time.sleep(0.5)
    path.pause("publisher")
    for partition in range(path.partitions):
        asyncio.run(delete_queue(path, partition, if_empty=False))
    path.resume("publisher")
    path.flow_on(400)
    path.kill("publisher")
    path.start("publisher")
    path.wait_ready("publisher")
    path.flow_on(400)
    path.start("parser-0")
    path.wait_ready("parser-0")
    path.wait_until(lambda: path.stats("parser-0")["filled"] > 0, "the publisher went back")
    assert_lossless(path)
    assert path.stats("parser-0")["jumps"] == 0, f"{path.log('parser-0')}\n{path.stats('parser-0')}"


async def delete_queue(path: LivePath, partition: int, *, if_empty: bool = True) -> None:
    async with await aio_pika.connect(path.bus) as connection:
        channel = await connection.channel()
        await channel.queue_delete(f"{path.prefix}.raw.live.{partition}", if_empty=if_empty)
