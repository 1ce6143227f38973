"""Keeps what a co-located publisher released since the last checkpoint, so that a successor parses the same again.

Theory: states and gaps that the clock declared are not in the journal, and a parser that met them elsewhere would give
other records the same numbers. What a broker's RAW queue is to a parser of its own, these files are to the one in the
publisher's process: each RAW message is written before its PARSED goes out, and stays until a checkpoint has it.

`publisher.raw.<n>` beside the cursor: per message two lengths, the headers as JSON, the body (a block with its CRC).
Bound: what is released between two checkpoints; none is made while the broker is away, and then the outboxes' bound
stops the publisher. Not synced: it outlives the process, and after a power cut the cursor, which is never ahead of the
checkpoint, brings everything again from the journal.
"""

from __future__ import annotations

import json
import logging
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from feeds.capture.raw_stage import RawMessage

log = logging.getLogger(__name__)

LENGTHS = struct.Struct("<II")


class RawLog:
    """The segments of one feed in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._next = max(self._numbers(), default=0) + 1
        self._file: int | None = None
        self._size = 0

    def append(self, messages: Sequence[RawMessage]) -> None:
        """Write `messages` at once. Raises OSError when the disk refuses; then none of them is there."""
        if not messages:
            return
        if self._file is None:
            path = self.folder / f"publisher.raw.{self._next}"
            self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o640)
            self._size = 0
        data = b"".join(map(_encode, messages))
        try:
            written = os.pwrite(self._file, data, self._size)
            if written < len(data):
                raise OSError(f"{written} of {len(data)} bytes written")
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += written

    def cut(self) -> int:
        """Begin a new segment; everything appended so far is in the segments below the returned number."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._next += 1
        return self._next

    def release(self, below: int) -> None:
        """A checkpoint has everything in the segments below."""
        for number in self._numbers():
            if number < below:
                (self.folder / f"publisher.raw.{number}").unlink(missing_ok=True)

    def read(self) -> Iterator[RawMessage]:
        """Every whole message that is kept, in order; a torn last one was never passed on."""
        for number in sorted(self._numbers()):
            data = (self.folder / f"publisher.raw.{number}").read_bytes()
            at = 0
            while len(data) - at >= LENGTHS.size:
                head, body = LENGTHS.unpack_from(data, at)
                start = at + LENGTHS.size
                at = start + head + body
                if at > len(data):
                    log.warning("%s: the last message of segment %d is torn", self.folder, number)
                    break
                headers = json.loads(data[start : start + head])
                yield RawMessage(int(headers["partition"]), data[start + head : at], headers)

    def close(self) -> None:
        """Leave the files as they are."""
        self.cut()

    def _numbers(self) -> list[int]:
        found = (path.name.rpartition(".")[2] for path in self.folder.glob("publisher.raw.*"))
        return [int(text) for text in found if text.isdigit()]


def _encode(message: RawMessage) -> bytes:
    headers = json.dumps(message.headers, separators=(",", ":")).encode()
    return b"".join((LENGTHS.pack(len(headers), len(message.body)), headers, message.body))
