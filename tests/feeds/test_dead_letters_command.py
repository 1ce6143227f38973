"""`manage.py dead_letters` on both buses: list, show and reinject, with one clear line for what cannot be done."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from feeds.blocks import decode_block
from feeds.bus.base import Bus, Outgoing
from feeds.bus.factory import open_bus
from feeds.bus.memory import MemoryBus
from feeds.dead_letters.spool import DeadLetterSpool
from feeds.models import Exchange, Feed, Line
from feeds.parser.dead_letter import DeadLetter
from testbed.rabbitmq import PrivateRabbitMQ
from tests.feeds.buses import take, until
from tests.feeds.data_path import EPOCH, T0_NS
from tests.feeds.wire import trade

pytestmark = pytest.mark.django_db(transaction=True)
LETTERS = [
    DeadLetter("UNKNOWN_CODE", "said before a fix", 12, trade(2), T0_NS, 0, "KRX", EPOCH, "live", 1, 0),
    DeadLetter("CHECKSUM", "found", 9, trade(3)[:-4] + b"99\x01", T0_NS + 1, 1, "KRX", EPOCH, "live", 2, 0),
    DeadLetter("UNKNOWN_CODE", "a replay's", 12, trade(4), T0_NS + 2, 0, "KRX", EPOCH, "replay:1", 3, 1),
]


@pytest.fixture(params=["memory", pytest.param("amqp", marks=pytest.mark.services)])
def bus_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bus that keeps the three letters."""
    url = "memory://"
    if request.param == "amqp":
        broker: PrivateRabbitMQ = request.getfixturevalue("rabbitmq")
        url = broker.add_vhost(f"dead-{tmp_path.name}")
    monkeypatch.setattr(settings, "MDDS", replace(settings.MDDS, bus_url=url, data_dir=tmp_path, partitions=2))
    feed = Feed.objects.create(exchange=Exchange.objects.create(code="HOSE", name="HOSE"), name="KRX", markets=["STO"])
    Line.objects.create(feed=feed, name="A", group="127.0.0.1", port=9001)
    asyncio.run(keep(opened(url, tmp_path)))
    return url


def opened(url: str, folder: Path) -> Bus:
    return open_bus(url, prefix=settings.MDDS.prefix, data_dir=folder, partitions=2)


async def keep(bus: Bus) -> None:
    await bus.open()
    outbox = bus.dead_outbox()
    for letter in [*LETTERS, LETTERS[0]]:  # one was said twice
        await outbox.put(Outgoing(letter.partition, letter.as_json(), {"origin": letter.origin}))
    await outbox.drained()
    await bus.close()


def run(*arguments: str) -> tuple[list[str], str]:
    out, error = StringIO(), StringIO()
    call_command("dead_letters", *arguments, stdout=out, stderr=error)
    return out.getvalue().splitlines(), error.getvalue()


def test_list_show_and_reinject(bus_url: str, tmp_path: Path) -> None:
    lines, said = run("list")
    assert [line.split()[0] for line in lines] == [letter.id for letter in LETTERS]
    assert said.strip() == "3 of 3 dead letters"
    assert [json.loads(line)["id"] for line in run("list", "--json", "--reason", "CHECKSUM")[0]] == [LETTERS[1].id]
    assert run("list", "--feed", "STX") == ([], "no dead letter fits\n")
    page = run("show", LETTERS[0].id[:8])[0]
    assert any(line.startswith(">") and "35=" not in line for line in page)

    assert run("reinject", "--all", "--dry-run")[0] == ["1 would be put in again, 2 refused"]
    done, said = run("reinject", "--all")
    assert done == ["1 put in again, 2 refused"]
    assert f"{LETTERS[1].id} is not put in: the parser still refuses it: TRAILER at byte 361" in said
    assert f"{LETTERS[2].id} is not put in: it came from replay:1" in said
    assert asyncio.run(arrived(bus_url, tmp_path)) == [trade(2)]


async def arrived(url: str, folder: Path) -> list[bytes]:
    """What comes on RAW."""
    bus = opened(url, folder)
    await bus.open()
    readers = [bus.consume_raw(n) for n in range(2)]
    stop = asyncio.Event()
    spool = DeadLetterSpool(bus, folder / "dead_letters" / "reinject")
    running = asyncio.create_task(spool.run(stop))
    found: list[bytes] = []

    async def read(reader: object) -> None:
        (delivery,) = await take(reader, 1)  # type: ignore[arg-type]
        found.extend(entry[3] for entry in decode_block(delivery.body)[0].entries)
        reader.ack(delivery)  # type: ignore[attr-defined]

    reading = [asyncio.create_task(read(reader)) for reader in readers]
    await until(lambda: bool(found))
    if isinstance(bus, MemoryBus):
        await until(lambda: spool.published == 1)
        assert list(spool.folder.iterdir()) == []
    for task in reading:
        task.cancel()
    stop.set()
    await running
    await bus.close()
    return found


def test_what_cannot_be_done_is_one_line(bus_url: str) -> None:
    for arguments, named in (
        (["show", "nothing"], "dead letter nothing: names none"),
        (["reinject"], "name the letters by their ids, or say --all"),
        (["reinject", LETTERS[1].id], "nothing was put in again"),
        (["list", "--since", "noon"], "found 'noon'"),
        (["list", "--limit", "0"], "found '0'"),
    ):
        with pytest.raises(CommandError, match=named.replace("'", ".")):
            run(*arguments)
