"""A message that could not be parsed: its bytes, why, and where."""

from __future__ import annotations

import base64
import json
from hashlib import blake2b
from typing import NamedTuple


class DeadLetter(NamedTuple):
    """`reason` is a stable code, `offset` the byte in the message that shows it; `capture_seq` is the first of the RAW
    block it came in."""

    reason: str
    text: str
    offset: int
    data: bytes
    rx_ns: int
    line: int
    feed: str
    epoch: int
    origin: str
    capture_seq: int
    partition: int = 0

    @property
    def id(self) -> str:
        """What operators call it: the same for every copy of it, whoever wrote it down (a parser that was killed says
        it again)."""
        where = f"{self.origin} {self.feed} {self.epoch} {self.rx_ns} {self.line} {self.offset} ".encode()
        return blake2b(where + self.data, digest_size=6).hexdigest()

    def as_json(self) -> bytes:
        """One JSON object; the bytes as base64."""
        value = self._asdict()
        value["data"] = base64.b64encode(self.data).decode()
        return json.dumps(value).encode()

    @classmethod
    def from_json(cls, text: bytes) -> DeadLetter:
        """The inverse of `as_json`. Raises ValueError for what is no dead letter."""
        try:
            value = json.loads(text)
            return cls(**{**value, "data": base64.b64decode(value["data"], validate=True)})
        except (TypeError, KeyError) as error:
            raise ValueError(f"no dead letter: {type(error).__name__}: {error}") from error
