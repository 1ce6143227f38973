"""Says who parses a partition's live RAW: a parser process, or a publisher that has its parser beside it.

A co-located publisher keeps its name under `owner_key` and sends a mark through the partition's queue. The queue has
one active consumer: a parser that gets the mark, or anything else while the key names an owner, gives way, so that the
mark comes to the owner behind everything that was in the queue. From then on the partition is the owner's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from feeds.bus.base import Bus, Outgoing

MARK = "mark"  # header of a RAW message without a block; its value tells the calls apart


class NotOurs(Exception):
    """Another process parses this partition; the text names it."""


def owner_key(partition: int) -> str:
    """The retained value with the owner of a partition, empty or absent when parser processes share it."""
    return f"colocated.{partition}"


def mark(partition: int, call: str) -> Outgoing:
    """A RAW message that says to its receiver that it is the partition's active consumer."""
    headers: dict[str, str | int] = {"pub": "", "no": 0, "feed": "", "origin": "live", "partition": partition}
    return Outgoing(partition, b"", {**headers, "t_rx": 0, MARK: call})


async def own(bus: Bus, partition: int, *, owner: str, feeds: Sequence[str]) -> None:
    """Say that `owner` parses the partition, and which feeds it publishes."""
    value = json.dumps({"owner": owner, "feeds": sorted(feeds)})
    await bus.retain(owner_key(partition), value.encode())


async def owner_of(bus: Bus, partition: int) -> str:
    """The co-located publisher that parses the partition; empty when there is none."""
    return (await _owner(bus, partition))[0]


async def disown(bus: Bus, partitions: Sequence[int], *, feeds: Sequence[str]) -> None:
    """A publisher of `feeds` without a parser begins: whoever was co-located with one of them is no more."""
    for partition in partitions:
        owner, owned = await _owner(bus, partition)
        if owner and set(feeds) & set(owned):
            await bus.retain(owner_key(partition), b"")


async def _owner(bus: Bus, partition: int) -> tuple[str, list[str]]:
    body = await bus.retained(owner_key(partition))
    if not body:
        return "", []
    value = json.loads(body)
    return str(value["owner"]), list(value["feeds"])
