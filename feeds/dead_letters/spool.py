"""Takes dead letters to put in again from another process: the embedded process's bus is its own."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from feeds.bus.base import Bus, Outgoing
from feeds.capture.raw_stage import RawMessage

log = logging.getLogger(__name__)

LOOK_S = 0.5
FILES_MAX = 64  # waiting files; at it `write` refuses


class SpoolFull(RuntimeError):
    """Too many files wait: nobody takes them."""


def write(folder: Path, messages: Sequence[RawMessage], *, now_ns: int) -> Path:
    """Leave RAW messages for the embedded process; whole or not at all. Raises SpoolFull."""
    folder.mkdir(parents=True, exist_ok=True)
    if len(list(folder.glob("*.json"))) >= FILES_MAX:
        raise SpoolFull(f"{folder}: {FILES_MAX} files wait already; is the service running?")
    rows = [[raw.partition, base64.b64encode(raw.body).decode(), raw.headers] for raw in messages]
    draft = folder / f"{now_ns}.{os.getpid()}.new"
    draft.write_text(json.dumps(rows))
    return draft.replace(draft.with_suffix(".json"))


class DeadLetterSpool:
    """A worker of the embedded process: publishes what waits in `folder`, and removes it when the parser has it."""

    kind = "dead letters"
    name = "reinjection"

    def __init__(self, bus: Bus, folder: Path) -> None:
        self.bus = bus
        self.folder = folder
        self.published = 0
        self.unreadable = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for path in sorted(self.folder.glob("*.json")):
                await self._take(path)
            try:
                await asyncio.wait_for(stop.wait(), LOOK_S)
            except TimeoutError:
                continue

    async def _take(self, path: Path) -> None:
        try:
            rows = json.loads(await asyncio.to_thread(path.read_bytes))
            messages = [Outgoing(int(n), base64.b64decode(body), headers) for n, body, headers in rows]
        except (ValueError, TypeError) as error:
            self.unreadable += 1
            log.error("%s: cannot be read (%s); set aside", path, error)
            await asyncio.to_thread(path.replace, path.with_suffix(".bad"))
            return
        outbox = self.bus.raw_outbox()
        for message in messages:
            await outbox.put(message)
        await outbox.drained()
        await outbox.close()
        await asyncio.to_thread(path.unlink)
        self.published += len(messages)

    def stats(self) -> dict[str, object]:
        return {"published": self.published, "unreadable": self.unreadable}
