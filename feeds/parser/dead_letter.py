"""A message that could not be parsed: its bytes, why, and where."""

from __future__ import annotations

import base64
import json
from typing import NamedTuple


class DeadLetter(NamedTuple):
    """`reason` is a stable code, `offset` the byte in the message that shows it, `position` where the message is."""

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

    def as_json(self) -> bytes:
        """One JSON object; the bytes as base64."""
        value = self._asdict()
        value["data"] = base64.b64encode(self.data).decode()
        return json.dumps(value).encode()
